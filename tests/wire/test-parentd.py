#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-parentd against design §5, over its unix socket. Prints TAP.

test-parentd.py BINARY [TEST...]
"""

import os
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import parentd_protocol  # noqa: E402,F401
import parentd_limits  # noqa: E402,F401
import parentd_process  # noqa: E402,F401
from parentd_client import TESTS, Room, Skip, equal  # noqa: E402


def main():
    only = sys.argv[2:]
    tests = [function for function in TESTS if not only or function.__name__ in only]
    print('1..%d' % len(tests), flush=True)
    failed = 0
    for number, function in enumerate(tests, 1):
        name = function.__name__.replace('_', ' ')
        try:
            with Room() as room:
                function(room)
                for parent in room.parents:
                    if parent.process.poll() is None:
                        equal(parent.stop(), 0)
            print('ok %d - %s' % (number, name), flush=True)
        except Skip as why:
            print('ok %d - %s # SKIP %s' % (number, name, why), flush=True)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print('not ok %d - %s' % (number, name), flush=True)
    return 1 if failed else 0


sys.exit(main())
