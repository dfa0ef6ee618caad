# SPDX-License-Identifier: GPL-2.0-or-later
# Turns the lines of an SQL file into lines of C text.
s/[\\"]/\\&/g
s/.*/"&\\n",/
