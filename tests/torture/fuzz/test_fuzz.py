# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fuzz targets of tests/fuzz. Briefly: their corpora, which run as tests of their own, are
small. At length: all of them are built with clang and run, two at a time, and find nothing.

usage: test_fuzz.py SOURCE BUILD NAME...
HOLDFAST_TEST_FUZZ_SECONDS: how long each runs, by default ten minutes
"""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import torture

SECONDS = int(os.environ.get('HOLDFAST_TEST_FUZZ_SECONDS', '600'))
FILES_MAX = 160         # of a corpus: it runs with every test run, sanitized too
FILE_BYTES_MAX = 4096
RSS_MB = 1024           # more than any target needs, quarantine of the sanitizer included
INPUT_SECONDS = 25      # more than any input takes, on a busy machine
LEAST_PER_SECOND = 2    # executions; with fewer something is wrong with the target


class Fuzzers:
    def __init__(self, source, build):
        self.source = source
        self.corpora = os.path.join(source, 'tests', 'fuzz', 'corpus')
        self.build = os.path.join(build, 'fuzz')
        self.findings = os.path.join(build, 'fuzz-findings')

    def make(self, names):
        """Return: what went wrong, or None."""
        if not shutil.which('clang'):
            return 'clang is not installed'
        commands = []
        if not os.path.exists(os.path.join(self.build, 'build.ninja')):
            commands.append(['meson', 'setup', self.build, self.source, '-Dfuzz=true',
                             '-Db_lundef=false'])
        commands.append(['ninja', '-C', self.build]
                        + ['tests/fuzz/fuzz-%s' % name for name in names])
        for command in commands:
            done = subprocess.run(command, env=dict(os.environ, CC='clang'), text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                return '%s failed:\n%s' % (' '.join(command[:2]), done.stdout[-4000:])
        return None

    def command(self, name, seed):
        new = os.path.join(self.build, 'new', name)
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        os.makedirs(self.findings, exist_ok=True)
        command = [os.path.join(self.build, 'tests', 'fuzz', 'fuzz-' + name),
                   '-seed=%d' % (seed or 1), '-max_total_time=%d' % SECONDS,
                   '-timeout=%d' % INPUT_SECONDS, '-rss_limit_mb=%d' % RSS_MB,
                   '-print_final_stats=1', '-artifact_prefix=%s/%s-' % (self.findings, name)]
        words = os.path.join(self.source, 'tests', 'fuzz', name + '.dict')
        if os.path.exists(words):
            command.append('-dict=' + words)
        return command + [new, os.path.join(self.corpora, name)]

    def run(self, name, seed):
        """Return: the program's exit status and what it said."""
        # GLib's own allocator would hide what the sanitizer looks for.
        env = dict(os.environ, G_SLICE='always-malloc')
        env.pop('ASAN_OPTIONS', None)
        done = subprocess.run(self.command(name, seed), env=env, text=True, errors='replace',
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout


class Report:
    def __init__(self):
        self.count = self.failed = 0

    def point(self, name, problem):
        self.count += 1
        self.failed += bool(problem)
        print('%s %d - %s' % ('not ok' if problem else 'ok', self.count, name))
        for line in (problem or '').splitlines():
            print('# ' + line)
        sys.stdout.flush()

    def finish(self):
        print('1..%d' % self.count)
        return 1 if self.failed else 0


def check_corpus(directory):
    sizes = {name: os.path.getsize(os.path.join(directory, name))
             for name in os.listdir(directory)}
    large = [name for name, size in sizes.items() if size > FILE_BYTES_MAX]
    if not sizes:
        return 'it is empty'
    if len(sizes) > FILES_MAX:
        return '%d files, at most %d' % (len(sizes), FILES_MAX)
    return 'over %d bytes: %s' % (FILE_BYTES_MAX, ' '.join(large)) if large else None


def last_number(pattern, text):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def judge(fuzzers, name, status, said, took):
    """Print the figures. Return: what went wrong, or None."""
    executions = last_number(r'stat::number_of_executed_units: *(\d+)', said)
    findings = re.findall(r'Test unit written to (\S+)', said)
    torture.figure('fuzz %s: executions' % name, executions)
    torture.figure('fuzz %s: edges' % name, last_number(r'cov: (\d+)', said))
    torture.figure('fuzz %s: findings' % name, len(findings))
    if status != 0:
        program = os.path.join(fuzzers.build, 'tests', 'fuzz', 'fuzz-' + name)
        again = ''.join('\nagain: %s %s' % (program, finding) for finding in findings)
        return 'it ended with %d\n%s%s' % (status, said[-6000:], again)
    if executions < LEAST_PER_SECOND * took:
        return 'only %d executions in %d s' % (executions, took)
    return None


def run_all(fuzzers, names, report):
    seed = torture.seed()
    problem = fuzzers.make(names)
    report.point('the fuzzers are built', problem)
    if problem:
        return

    def one(name):
        began = time.monotonic()
        status, said = fuzzers.run(name, seed)
        return name, judge(fuzzers, name, status, said, time.monotonic() - began)

    torture.figure('fuzz: seconds of each target', SECONDS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, wrong in pool.map(one, names):
            report.point('%s: nothing found' % name, wrong)


def main():
    source, build, *names = sys.argv[1:]
    fuzzers = Fuzzers(source, build)
    report = Report()
    for name in names:
        report.point('the corpus of %s is small' % name,
                     check_corpus(os.path.join(fuzzers.corpora, name)))
    if torture.LONG:
        run_all(fuzzers, names, report)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
