// SPDX-License-Identifier: MIT
// loam.h: a managed heap for C. Include this, link libloam, never call free.
//
//     struct node { struct node *next; int value; };
//     LOAM_TYPE(struct node, next)
//
//     struct node *n = loam_new(struct node);
//
// The parts: heap.h makes objects, type.h describes them, root.h keeps them,
// thread.h is for unusual threads, collect.h for collections and figures,
// limit.h for limits, status.h for why a call failed, barrier.h for implementers
// of languages. About lifetimes: weak.h and weak_map.h refer without keeping,
// finalize.h is for the end, counted.h for objects that die at once, defer.h for
// what is done when a scope ends, scope.h for memory that goes back all at once,
// pool.h for using objects again, resource.h
// for what must be closed, garbage.h to look at what has died.

#ifndef LOAM_H
#define LOAM_H

#include <loam/barrier.h>
#include <loam/collect.h>
#include <loam/counted.h>
#include <loam/defer.h>
#include <loam/finalize.h>
#include <loam/garbage.h>
#include <loam/heap.h>
#include <loam/limit.h>
#include <loam/pool.h>
#include <loam/resource.h>
#include <loam/root.h>
#include <loam/scope.h>
#include <loam/status.h>
#include <loam/thread.h>
#include <loam/type.h>
#include <loam/weak.h>
#include <loam/weak_map.h>

#endif // LOAM_H
