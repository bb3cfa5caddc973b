/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What clients call us by: the names of the API, version 1. Never changed, only added to. */

#define BUS_NAME	     "org.holdfast1"
#define BUS_PATH	     "/org/holdfast1"
#define BUS_AREA_PREFIX	     BUS_PATH "/area"
#define BUS_STORAGE	     BUS_NAME ".Storage"
#define BUS_DIRECT	     BUS_NAME ".Direct"
#define BUS_MONITOR	     BUS_NAME ".Monitor"
#define BUS_MANAGER	     BUS_NAME ".Manager"
#define BUS_ERROR_PREFIX     BUS_NAME ".Error."
#define BUS_STD_ERROR_PREFIX "org.freedesktop.DBus.Error."
#define BUS_INTROSPECTABLE   "org.freedesktop.DBus.Introspectable"
#define BUS_PROPERTIES	     "org.freedesktop.DBus.Properties"
