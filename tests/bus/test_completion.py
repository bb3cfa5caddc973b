#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion of the command lines, in the shells themselves: a line is typed, completed and run."""

import re
import shutil
import subprocess

from harness import *
from terminal import Terminal

COMPLETIONS = os.path.join(TOP, 'data', 'completions')
PROGRAMS = ('holdfastctl', 'holdfastd', 'holdfast-parentd')

# Keys with everything a shell could take for its own; the value of each is its number.
KEYS = ['k00plain', 'k01 with two  spaces', "k02it's", 'k03"quoted"', 'k04$HOME$(id)', 'k05`id`',
        'k06back\\slash', 'k07:co:lon', 'k08=equal=s', 'k09;x&y|z', 'k10*?[a]', 'k11#hash', 'k12~tilde',
        'k13!bang!', 'k14ümläut 漢字', 'k15(paren)', 'k16<a>b', 'k17{a,b}', 'k18%^@,+', "k19'\"$`\\ :",
        'k20/with/slash', 'a:b:one x', 'a:b:two x']


def environ(t):
    path = os.path.dirname(program('holdfastctl')) + ':' + os.environ['PATH']
    return dict(t.environ(), TERM='xterm', LC_ALL='C.UTF-8', PATH=path, PS1='@@ ', PROMPT='@@ ',
                HISTFILE='/dev/null')


def need(*programs):
    for name in programs:
        if not shutil.which(name):
            raise Skip(name + ' is not installed')


class Shell:
    """An interactive shell. run() types a line and says what the command printed, and its status."""

    def __init__(self, t, argv, setup):
        self.dir = t.dir
        self.count = 0
        self.terminal = Terminal(argv, environ(t), columns=200, drawn=False)
        t.closers.append(self.terminal.close)
        wait_for(lambda: '@@ ' in self.terminal.read(), 'a prompt')
        for line in setup:
            equal(self.run(line)[1], '0', line)

    def run(self, typed):
        self.count += 1
        out, done = (os.path.join(self.dir, '%s-%d' % (name, self.count)) for name in ('out', 'done'))
        self.terminal.type(typed + ' >%s 2>&1 ; echo $? >%s.new ; mv %s.new %s\n' % (out, done, done, done))

        def over():
            self.terminal.read()
            return os.path.exists(done)
        try:
            wait_for(over, 'the end of %r' % typed, 4 * DEADLINE)
        except AssertionError as error:
            raise AssertionError('%s\n%r' % (error, self.terminal.raw[-2000:]))
        with open(out) as file, open(done) as status:
            return file.read(), status.read().strip()


def bash(t):
    need('bash')
    if not os.path.exists('/usr/share/bash-completion/bash_completion'):
        raise Skip('bash-completion is not installed')
    return Shell(t, ['bash', '--norc', '--noprofile', '-i'],
                 ['bind "set enable-bracketed-paste off" "set bell-style none"',
                  '. /usr/share/bash-completion/bash_completion']
                 + ['. %s/%s.bash' % (COMPLETIONS, name) for name in PROGRAMS])


def zsh(t):
    need('zsh')
    return Shell(t, ['zsh', '-f', '-i'],
                 ['PS1="@@ "; unsetopt zle_bracketed_paste beep; fpath=(%s $fpath)' % COMPLETIONS,
                  'autoload -Uz compinit && compinit -D -u'])


def fill(t):
    p, _, c = t.connected()
    for number, key in enumerate(KEYS):
        c.storage.SetItem(key, 'value %d' % number)
    c.area('mine').SetItem('only-here', 'value of mine')
    return p, c


def completes(shell, key, typed):
    """What is typed, with its tabs, prints the value of this key."""
    out, status = shell.run('holdfastctl ' + typed)
    equal((out, status), ('value %d\n' % KEYS.index(key), '0'), '%r for %r' % (typed, key))


def check_keys(shell):
    for key in KEYS[:-2]:
        completes(shell, key, 'get %s\t' % key[:3])
    completes(shell, 'k01 with two  spaces', 'get k01\\ w\t')
    completes(shell, 'k01 with two  spaces', "get 'k01 w\t")
    completes(shell, 'k01 with two  spaces', 'get "k01 w\t')
    completes(shell, "k02it's", 'get "k02\t')
    completes(shell, 'k03"quoted"', "get 'k03\t")
    completes(shell, 'k04$HOME$(id)', "get 'k04$H\t")
    completes(shell, 'k04$HOME$(id)', 'get "k04\t')
    completes(shell, 'k04$HOME$(id)', 'get k04\\$H\t')
    completes(shell, 'k07:co:lon', 'get k07:\t')
    completes(shell, 'k07:co:lon', 'get k07:co:l\t')
    completes(shell, 'k07:co:lon', "get 'k07:co\t")
    completes(shell, 'k07:co:lon', 'get k07\\:c\t')
    completes(shell, 'k08=equal=s', 'get k08=e\t')
    completes(shell, 'a:b:two x', 'get a\tt\t')
    completes(shell, 'a:b:one x', 'get "a\to\t')
    completes(shell, 'k00plain', 'g\tk00\t')
    completes(shell, 'k00plain', '--us\tget -- k00\t')
    completes(shell, 'k00plain', 'get --user k00\t')


def check_other_areas(shell):
    for typed in ('--area=mi\tget on\t', '--area mi\tget on\t', 'get --area=mine on\t',
                  '--area="mine" get on\t'):
        equal(shell.run('holdfastctl ' + typed), ('value of mine\n', '0'), typed)
    out, status = shell.run('holdfastctl --area=other get on\t')
    equal(status, '3', out)
    out, _ = shell.run('holdfastctl --area=typo await \t; holdfastctl --area=typo list \t; holdfastctl areas')
    assert 'typo' not in out and 'mine' in out, out


def check_options(shell):
    assert '"serial"' in shell.run('holdfastctl --js\tsh\tset new v')[0]
    assert shell.run('holdfastctl --vers\t')[0].startswith('holdfastctl ')
    assert shell.run('holdfastd --vers\t')[0].startswith('holdfastd ')
    assert shell.run('holdfast-parentd --vers\t')[0].startswith('holdfast-parentd ')


def check_serials(shell, p, c):
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    serial = c.storage.SetItem('bad', 'refused')
    fails('Rejected', c.storage.Await, serial, FOREVER)
    equal(shell.run('holdfastctl queue --sh\t\t'), ('refused\n', '0'))


def check_without_daemon(shell):
    """Silent and fast, and the line is as it was typed."""
    began = time.monotonic()
    out, status = shell.run('holdfastctl --auto-start=no get k0\t')
    equal(status, '5', out)
    assert time.monotonic() - began < 3 * SLOW
    assert b'No such' not in shell.terminal.raw and b'rror' not in shell.terminal.raw


def check_shell(t, shell, tools=True):
    p, c = fill(t)
    paths = ['PATH="%s:$PATH"' % os.path.dirname(program(name)) for name in PROGRAMS]
    for path in paths:
        shell.run(path)
    check_keys(shell)
    check_other_areas(shell)
    check_options(shell)
    check_serials(shell, p, c)
    for daemon in [x for x in t.programs if x.name == 'holdfastd']:
        daemon.stop()
    check_without_daemon(shell)


@test
def bash_completes(t):
    check_shell(t, bash(t))


@test
def bash_leaves_its_history_alone(t):
    """In double quotes an exclamation mark cannot be quoted: it would bring back an old command's word
    without the quotes that had made it harmless."""
    _, _, c = t.connected()
    shell = bash(t)
    shell.run('PATH="%s:$PATH"' % os.path.dirname(program('holdfastctl')))
    c.storage.SetItem('h!echo:1', 'v')
    shell.run("echo '$(touch %s/ran)'" % t.dir)
    equal(shell.run('holdfastctl get "h\t"')[1], '3')
    equal(shell.run("holdfastctl get 'h\t"), ('v\n', '0'))
    equal(shell.run('holdfastctl get h\t'), ('v\n', '0'))
    assert not os.path.exists(os.path.join(t.dir, 'ran'))


@test
def zsh_completes(t):
    check_shell(t, zsh(t))


def fish(t, *lines):
    need('fish')
    setup = ['source %s/%s.fish' % (COMPLETIONS, name) for name in PROGRAMS]
    done = subprocess.run(['fish', '--no-config', '-c', '\n'.join(setup + list(lines))], env=environ(t),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60 * SLOW)
    equal(done.stderr.decode(), '')
    return done.stdout.decode().splitlines()


def fish_offers(t, line):
    offered = fish(t, 'complete -C %s' % "'%s'" % line.replace('\\', '\\\\').replace("'", "\\'"))
    return [text.partition('\t')[0] for text in offered]


@test
def fish_completes(t):
    need('fish')
    p, c = fill(t)
    offered = fish_offers(t, 'holdfastctl get ')
    equal(sorted(offered), sorted(KEYS))
    equal(fish_offers(t, 'holdfastctl get k01'), ['k01 with two  spaces'])
    equal(fish_offers(t, "holdfastctl get 'k01 wi"), ['k01 with two  spaces'])
    equal(fish_offers(t, 'holdfastctl --area=mine get '), ['only-here'])
    equal(fish_offers(t, 'holdfastctl --area mine get on'), ['only-here'])
    equal(fish_offers(t, 'holdfastctl --area=other get '), [])
    equal(fish_offers(t, 'holdfastctl set k00plain '), [])
    assert 'monitor' in fish_offers(t, 'holdfastctl mo')
    assert set(fish_offers(t, 'holdfastctl --area ')) >= {'default', 'mine'}
    p.refuse_ops['bad'] = ('rejected', 'not nice')
    serial = c.storage.SetItem('bad', 'refused')
    fails('Rejected', c.storage.Await, serial, FOREVER)
    equal(fish_offers(t, 'holdfastctl queue --show '), [str(serial)])
    for daemon in [x for x in t.programs if x.name == 'holdfastd']:
        daemon.stop()
    equal(fish_offers(t, 'holdfastctl get '), [])


@test
def every_option_and_verb_is_there(t):
    for name in PROGRAMS:
        text = subprocess.run([program(name), '--help'], env=t.environ(), stdout=subprocess.PIPE,
                              timeout=30 * SLOW).stdout.decode()
        words = set(re.findall(r'^ +(?:-h,? )?(--[a-z-]+)', text, re.M))
        if name == 'holdfastctl':
            words |= set(re.findall(r'^  ([a-z]+) ', text, re.M))
        assert len(words) > 5, text
        for file, option in ((name + '.bash', '%s'), ('_' + name, '%s'), (name + '.fish', None)):
            with open(os.path.join(COMPLETIONS, file)) as f:
                content = f.read()
            for word in words:
                if option:
                    wanted = r'(?<![\w-])%s(?![\w-])' % re.escape(word)
                else:
                    wanted = r'-[la] %s\b' % re.escape(word.removeprefix('--'))
                assert re.search(wanted, content), '%s has no %s' % (file, word)


@test
def completion_starts_no_daemon(t):
    """On a bus that would."""
    need('dbus-daemon', 'bash')
    services, mark = os.path.join(t.dir, 'services'), os.path.join(t.dir, 'started')
    os.mkdir(services)
    with open(os.path.join(services, 'org.holdfast1.service'), 'w') as file:
        file.write('[D-BUS Service]\nName=org.holdfast1\nExec=/bin/sh -c "touch %s; exit 1"\n' % mark)
    config = os.path.join(t.dir, 'bus.conf')
    with open(config, 'w') as file:
        file.write('<busconfig><type>session</type><listen>unix:path=%s/bus</listen>'
                   '<servicedir>%s</servicedir><policy context="default">'
                   '<allow send_destination="*" eavesdrop="true"/>'
                   '<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>'
                   % (t.dir, services))
    bus = subprocess.Popen(['dbus-daemon', '--config-file=' + config, '--nofork', '--print-address=1'],
                           stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        address = bus.stdout.readline().decode().strip()
        shell = bash(t)
        shell.run('export DBUS_SESSION_BUS_ADDRESS="%s"' % address)
        equal(shell.run('holdfastctl --auto-start=no get k\t')[1], '5')
        assert not os.path.exists(mark)
        shell.run('holdfastctl get k')
        wait_for(lambda: os.path.exists(mark), 'a start by a call that may')
    finally:
        bus.terminate()
        bus.wait()
        bus.stdout.close()


if __name__ == '__main__':
    main()
