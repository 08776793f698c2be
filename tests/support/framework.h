// SPDX-License-Identifier: MIT
// framework.h: cmocka with the headers that it wants before it.

#ifndef LOAM_TESTS_SUPPORT_FRAMEWORK_H
#define LOAM_TESTS_SUPPORT_FRAMEWORK_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif // LOAM_TESTS_SUPPORT_FRAMEWORK_H
