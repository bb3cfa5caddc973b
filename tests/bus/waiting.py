# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time in the bus tests: deadlines, stretched for slow builds, and waiting for conditions."""

import os
import time

from gi.repository import GLib

SLOW = float(os.environ.get('HOLDFAST_TEST_SLOW', '1'))
DEADLINE = 5 * SLOW         # seconds a condition may take
CALL = 12 * SLOW            # seconds a D-Bus call may take; the contract says 5 for most
FOREVER = 2 ** 64 - 1       # "no time-out" of Await and Flush


def ms(value):
    """A configured time in milliseconds, stretched for slow builds."""
    return '%dms' % round(value * SLOW)


def secs(value):
    """A time in seconds, stretched for slow builds."""
    return value * SLOW


def usec(value):
    """Milliseconds as the usec a D-Bus argument or property has, stretched for slow builds."""
    return round(value * SLOW) * 1000


_context = GLib.MainContext.default()


def turn(seconds=0.005):
    """Dispatch what the main loop has, waiting at most @seconds for something."""
    if _context.iteration(False):
        return
    source = GLib.timeout_add(max(1, int(seconds * 1000)), lambda: False)
    _context.iteration(True)
    found = _context.find_source_by_id(source)
    if found is not None:
        found.destroy()


def drain():
    """Dispatch everything that has arrived."""
    while _context.iteration(False):
        pass


def wait_for(condition, what=None, deadline=None):
    """Turn the loop until condition() is true; its value is returned. Fails after the deadline."""
    end = time.monotonic() + (DEADLINE if deadline is None else deadline)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError('waited in vain for ' + (what or describe(condition)))
        turn()


def never(condition, seconds=0.3, what=None):
    """Watch for a while that condition() stays false."""
    end = time.monotonic() + secs(seconds)
    while time.monotonic() < end:
        assert not condition(), 'happened, and should not: ' + (what or describe(condition))
        turn()


def describe(function):
    """Where a condition stands in its test."""
    code = function.__code__
    return '%s:%d' % (os.path.basename(code.co_filename), code.co_firstlineno)


def equal(got, wanted, what=''):
    assert got == wanted, '%sgot %r, wanted %r' % (what and what + ': ', got, wanted)
