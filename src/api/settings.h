// SPDX-License-Identifier: MIT
// api/settings.h: reading the environment.

#ifndef API_SETTINGS_H
#define API_SETTINGS_H

// lm_settings_read fills lm_settings from the LOAM_ variables. One that makes
// no sense is reported on stderr and its default kept.
void lm_settings_read(void);

#endif // API_SETTINGS_H
