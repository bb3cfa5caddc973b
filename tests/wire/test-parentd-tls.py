#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd over TLS, with tokens, and by socket activation. Prints TAP.

test-parentd-tls.py BINARY [TEST...]
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import parentd_tokens  # noqa: E402,F401
import parentd_strangers  # noqa: E402,F401
import parentd_activation  # noqa: E402,F401
from parentd_client import run_tests  # noqa: E402

sys.exit(run_tests())
