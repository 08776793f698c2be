// SPDX-License-Identifier: MIT
// loam.h: a managed heap for C. Include this, link libloam, never call free.
//
//     struct node { struct node *next; int value; };
//     LOAM_TYPE(struct node, next)
//
//     struct node *n = loam_new(struct node);
//
// The parts: heap.h makes objects, type.h describes them, root.h keeps them,
// pool.h uses objects again, thread.h is for unusual threads, collect.h for limits and figures, status.h
// for why a call failed, barrier.h for implementers of languages.

#ifndef LOAM_H
#define LOAM_H

#include <loam/barrier.h>
#include <loam/collect.h>
#include <loam/heap.h>
#include <loam/pool.h>
#include <loam/root.h>
#include <loam/status.h>
#include <loam/thread.h>
#include <loam/type.h>

#endif // LOAM_H
