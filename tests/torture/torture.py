# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tools of tests/torture share: how long to run, which seed, and how figures are told."""

import os
import random

LONG = os.environ.get('HOLDFAST_TEST_LONG') == '1'


def choose(short, long):
    """A length: of the run that every change passes, or of the one that looks further."""
    return long if LONG else short


def seed():
    """HOLDFAST_TEST_SEED, or by default the same for everybody; printed, for it repeats the run."""
    given = os.environ.get('HOLDFAST_TEST_SEED', '1')
    value = random.randrange(1, 2 ** 32) if given == 'random' else int(given)
    print('# seed %d (HOLDFAST_TEST_SEED=%d runs it again)' % (value, value), flush=True)
    return value


def figure(name, value):
    """A result for people; tests/run.sh --long lists them all at its end."""
    print('# figure: %s = %s' % (name, value), flush=True)
