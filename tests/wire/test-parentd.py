#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd against design §5, over its unix socket. Prints TAP.

test-parentd.py BINARY [TEST...]
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import parentd_protocol  # noqa: E402,F401
import parentd_limits  # noqa: E402,F401
import parentd_process  # noqa: E402,F401
from parentd_client import run_tests  # noqa: E402

sys.exit(run_tests())
