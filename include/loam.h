// SPDX-License-Identifier: MIT
// loam.h: a managed heap for C. Include this, link libloam, never call free.
//
//     struct node { struct node *next; int value; };
//     LOAM_TYPE(struct node, next)
//
//     struct node *n = loam_new(struct node);
//
// The parts: heap.h makes objects, type.h describes them, root.h keeps them,
// thread.h is for unusual threads, collect.h for limits and figures, status.h
// for why a call failed, counted.h for objects that die at once, defer.h for
// what is done when a scope ends, scope.h for memory that goes back all at once,
// barrier.h for implementers of languages.

#ifndef LOAM_H
#define LOAM_H

#include <loam/barrier.h>
#include <loam/collect.h>
#include <loam/counted.h>
#include <loam/defer.h>
#include <loam/heap.h>
#include <loam/root.h>
#include <loam/scope.h>
#include <loam/status.h>
#include <loam/thread.h>
#include <loam/type.h>

#endif // LOAM_H
