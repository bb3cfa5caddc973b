# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report of a house test: TAP, a point a rule, what is wrong with it below."""


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def point(self, name, problems, skip=None):
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}"
              + (f' # SKIP {skip}' if skip else ''), flush=True)
        for problem in problems:
            print(f'# {problem}', flush=True)

    def finish(self):
        print(f'1..{self.count}')
        return 1 if self.failed else 0
