#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prove that the simulation can see: bring back known holes one by one, and demand that it finds each.

Each *.mutant says what is wrong with it, and how to bring that about:

    The queue is cleared when it was sent, not when it was acked.
    --- src/engine/sender.c
    -lines of it, which must be there exactly once
    +the lines instead
    @@                             (between two edits of one file)

The edited files are compiled as the build compiles them and linked in front of the simulation's own
libraries, whose members they replace. The simulation must pass every seed that is used as it is, and
report a broken rule for one of them with the hole in it. A crash, a hang and an assertion of the
daemon's own do not count: it is the simulation that is on trial.

usage: mutants.py BUILD PROGRAM [NAME...]      PROGRAM: a target of BUILD; by default all mutants in the
                                               long run, in the short one a few that are found soon
"""

import glob
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile

import torture

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
LIMIT = 60              # seconds of processor time within which a hole is to be found
EPISODE = ['--once']
# The known holes of the origin, as design §9 lists them, and where each is brought back.
ORIGIN = {
    'writes lost before detection': 'lost-before-detection',
    'writes lost while connecting': 'sent-while-connecting',
    'replay skipped because recovery passes through connecting': 'replay-skipped',
    'queue cleared before the ack': 'cleared-before-ack',
    'no ack for a set': 'refusal-unheard',
    'a debounced set that fires after a remove': 'set-after-remove',
    'new writes overtaking the replay': 'overtaken-in-replay',
    'fallback and cache telling different stories': 'refused-value-shows',
    'a removed key that still reads from the fallback': 'removed-still-reads',
    'wall-clock jumps': 'wall-clock-ttl',
    'late pongs of an old connection': 'late-pong',
    'a cache fill after an invalidation': 'fill-after-write',
}
# Those that the short run takes: they are found within the first seeds.
QUICK = ['answered-before-committed', 'cleared-before-ack', 'flush-too-early', 'group-split',
         'new-client-each-start', 'number-reused', 'refused-value-shows', 'set-after-remove']


class Broken(Exception):
    """The mutant itself is no good: it does not apply, compile or link."""


# ---- mutants

class Edit:
    def __init__(self, path):
        self.path = path
        self.old = ''
        self.new = ''

    def apply(self, text):
        found = ('\n' + text).count('\n' + self.old)
        if found != 1 or not self.old:
            raise Broken('%s: the lines to change are there %d times: %s'
                         % (self.path, found, self.old.partition('\n')[0].strip()))
        return ('\n' + text).replace('\n' + self.old, '\n' + self.new)[1:]


class Mutant:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-len('.mutant')]
        self.hole = ''
        self.edits = []
        with open(path) as file:
            for line in file:
                self.take(line)

    def take(self, line):
        if line.startswith('--- '):
            self.edits.append(Edit(line[4:].strip()))
        elif line.startswith('@@'):
            self.edits.append(Edit(self.edits[-1].path))
        elif not self.edits:
            self.hole += line
        elif line.startswith('-'):
            self.edits[-1].old += line[1:]
        elif line.startswith('+'):
            self.edits[-1].new += line[1:]
        else:
            raise Broken('%s.mutant: what is this? %s' % (self.name, line))

    def sources(self):
        """The edited files as path → text."""
        texts = {}
        for edit in self.edits:
            if edit.path not in texts:
                with open(os.path.join(SOURCE, edit.path)) as file:
                    texts[edit.path] = file.read()
            texts[edit.path] = edit.apply(texts[edit.path])
        return texts


# ---- building them

def run(command, cwd):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        raise Broken('%s: %s' % (shlex.join(command)[:200], done.stdout[-2000:]))
    return done.stdout


def without(words, option, values):
    """`words` without `option` and the so many values that follow it."""
    while option in words:
        at = words.index(option)
        words = words[:at] + words[at + 1 + values:]
    return words


class Builder:
    def __init__(self, build, program):
        self.build = build
        ninja = shutil.which('ninja') or shutil.which('ninja-build') or 'samu'
        self.link = shlex.split(run([ninja, '-t', 'commands', program], build).splitlines()[-1])
        with open(os.path.join(build, 'compile_commands.json')) as file:
            self.commands = {os.path.realpath(os.path.join(c['directory'], c['file'])): c['command']
                             for c in json.load(file)}

    def compile(self, path, text, directory):
        stem = os.path.join(directory, path.replace('/', '_'))
        with open(stem, 'w') as file:
            file.write(text)
        words = shlex.split(self.commands[os.path.join(os.path.realpath(SOURCE), path)])
        for option, values in ('-MD', 0), ('-MQ', 1), ('-MF', 1), ('-o', 1), ('-c', 1):
            words = without(words, option, values)
        # Half an edit may leave something unused behind.
        run(words + ['-w', '-o', stem + '.o', '-c', stem], self.build)
        return stem + '.o'

    def make(self, mutant, directory):
        """Return the path of the mutated program."""
        objects = [self.compile(path, text, directory) for path, text in mutant.sources().items()]
        program = os.path.join(directory, mutant.name)
        at = self.link.index('-o')
        run(self.link[:at] + ['-o', program] + objects + self.link[at + 2:], self.build)
        return program


# ---- running them

def children_time():
    """Seconds of processor time: those of the clock depend on who else is here."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Trial:
    """One program with one seed."""

    def __init__(self, program, seed):
        env = dict(os.environ, HOLDFAST_TEST_SEED=str(seed))
        env.pop('HOLDFAST_TEST_LONG', None)
        begin = children_time()
        try:
            done = subprocess.run([program] + EPISODE, env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors='replace',
                                  timeout=10 * LIMIT, check=False)
            self.status, self.output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            self.status, self.output = 'no end', (error.stdout or b'').decode(errors='replace')
        self.took = children_time() - begin

    def passed(self):
        return self.status == 0

    def verdict(self):
        """The rule that it says is broken; None where it does not say."""
        for pattern in (r'ERROR:(?:\.\./)*(tests/.*)', r'ERROR \*\*: (?:[0-9:.]+: )?(.*)'):
            found = re.search(pattern, self.output)
            if found:
                return found.group(1).strip()
        return None


class Court:
    def __init__(self, builder, program, first):
        self.builder = builder
        self.program = program
        self.first = first
        self.sound = {}         # seed → whether the program as it is passes it

    def is_sound(self, seed):
        if seed not in self.sound:
            self.sound[seed] = Trial(self.program, seed).passed()
        return self.sound[seed]

    def hear(self, mutant, directory):
        """Return whether it was found, the seconds that took, and what to say of it."""
        program = self.builder.make(mutant, directory)
        took, seed, notes = 0, self.first, []
        while took < LIMIT:
            trial = Trial(program, seed)
            took += trial.took
            if not trial.passed() and self.is_sound(seed):
                if trial.verdict():
                    return True, took, notes + ['seed %d: %s' % (seed, trial.verdict())]
                notes += ['seed %d: %s, but no broken rule was named' % (seed, trial.status)]
                notes += trial.output.splitlines()[-6:]
                return False, took, notes
            seed += 1
        return False, took, notes + ['%d seeds passed' % (seed - self.first)]


def try_mutant(court, mutant):
    with tempfile.TemporaryDirectory() as directory:
        try:
            return court.hear(mutant, directory)
        except Broken as error:
            return False, 0, str(error).splitlines()


def main():
    build, target = os.path.abspath(sys.argv[1]), sys.argv[2]
    names = sys.argv[3:] or torture.choose(QUICK, None)
    mutants = [Mutant(path) for path in sorted(glob.glob(os.path.join(HERE, '*.mutant')))]
    mutants = [m for m in mutants if not names or m.name in names]
    court = Court(Builder(build, target), os.path.join(build, target), torture.seed())
    found, slowest = [], (0, '')
    print('1..%d' % (len(mutants) + 1))
    for number, mutant in enumerate(mutants, 1):
        good, took, notes = try_mutant(court, mutant)
        print('%s %d - %s, %.1f s' % ('ok' if good else 'not ok', number, mutant.name, took))
        for note in [mutant.hole.strip().replace('\n', ' ')] + notes:
            print('#   ' + note, flush=True)
        found += [mutant.name] if good else []
        slowest = max(slowest, (took, mutant.name)) if good else slowest
    unsound = [str(seed) for seed in court.sound if not court.sound[seed]]
    print('%s %d - as it is the simulation passes the same seeds'
          % ('not ok' if unsound else 'ok', len(mutants) + 1))
    print('#   it does not pass ' + ', '.join(unsound) if unsound else '#', flush=True)
    if torture.LONG:
        torture.figure('mutants found', '%d of %d' % (len(found), len(mutants)))
        torture.figure('holes of the origin found', '%d of %d'
                       % (len(set(found) & set(ORIGIN.values())), len(ORIGIN)))
        torture.figure('slowest to be found', '%.1f s (%s)' % slowest)
    return 0 if len(found) == len(mutants) and not unsound else 1


if __name__ == '__main__':
    sys.exit(main())
