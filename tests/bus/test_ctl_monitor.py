#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastctl monitor and the look of holdfastctl: on a terminal, in a pipe, in a file."""

import json
import re
import signal
import subprocess
import termios

from harness import *
from harness import Bus
from terminal import Terminal

ESC = '\x1b'


def environ(t, **more):
    env = dict(t.environ(), TERM='xterm', LC_ALL='C.UTF-8', TZ='UTC')
    env.update(more)
    return {name: value for name, value in env.items() if value is not None}


def on_terminal(t, *args, env=None, **kwargs):
    terminal = Terminal([program('holdfastctl')] + list(args), env or environ(t), **kwargs)
    t.closers.append(lambda: terminal.master is None or terminal.close())
    return terminal


def monitor(t, *args, **kwargs):
    terminal = on_terminal(t, 'monitor', *args, **kwargs)
    terminal.shows('State')
    return terminal


def run(t, *args, env=None, status=0, **kwargs):
    done = subprocess.run([program('holdfastctl')] + list(args), env=env or environ(t),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30 * SLOW, **kwargs)
    equal(done.returncode, status, 'exit status of %s (%r)' % (' '.join(args), done.stderr))
    return done.stdout.decode(), done.stderr.decode()


# ---- the screen ----

@test
def it_shows_line_queue_and_events(t):
    p, _, c = t.connected()
    m = monitor(t)
    m.shows('connected for', 'ok', t.address, 'mean', 'empty', '0 of 3 failed', 'area default',
            'state     connected')
    p.hold('batch')
    c.storage.SetItem('some-key', 'value')
    m.shows('changed   some-key (local)', '1 entry', 'oldest')
    wait_for(lambda: re.search('oldest [1-9]', m.read()), 'the age of the oldest entry')
    assert 'value' not in m.raw.decode()
    p.release('batch')
    m.shows('Queue:     empty')
    p.stop()
    m.shows('disconnected for', 'connected -> disconnected')
    m.type('q')
    m.ended()


@test
def the_sparkline_grows_with_the_pongs(t):
    t.connected({'Heartbeat': {'Interval': ms(300)}})
    m = monitor(t)
    wait_for(lambda: re.search('[▁▂▃▄▅▆▇█]{3}', m.read()), 'three round trips')
    m.type('q')
    m.ended()


@test
def lost_pings_stand_in_the_sparkline(t):
    p, _, _ = t.connected({'Heartbeat': {'Interval': ms(300), 'MaxFailedPings': '9'}})
    m = monitor(t)
    p.hold('ping')
    wait_for(lambda: '×' in m.read() and 'lost' in m.read(), 'a lost ping')
    m.type('q')
    m.ended()


@test
def every_way_to_quit_restores_the_terminal(t):
    t.connected()
    for end in ('q', 'Q', '\x03', '\x1c', signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        m = monitor(t)
        assert m.is_raw() and m.screen.modes == {'25': False, '7': False, '1049': True}
        if isinstance(end, str):
            m.type(end)
        else:
            m.process.send_signal(end)
        m.ended()


@test
def it_quits_while_the_daemon_is_deaf(t):
    _, d, _ = t.connected()
    m = monitor(t)
    m.shows('connected for')
    d.process.send_signal(signal.SIGSTOP)
    try:
        m.shows('daemon does not answer', deadline=15 * SLOW)
        m.type('q')
        m.ended()
    finally:
        d.process.send_signal(signal.SIGCONT)


@test
def the_daemon_goes_and_comes_back(t):
    _, d, c = t.connected()
    c.area('mine')
    m = monitor(t, '--area=mine')
    m.shows('connected for', 'area mine')
    d.kill9()
    m.shows('daemon not there')
    assert 'Queue' not in m.screen.text()
    d.start()
    m.shows('connected for', 'daemon    back', 'Queue:     empty')
    c.area('mine').SetItem('again', 'v')
    m.shows('changed   again (local)')
    m.type('q')
    m.ended()


@test
def ctrl_z_gives_the_terminal_back_and_fg_takes_it(t):
    t.connected()
    m = monitor(t)
    # Whoever leads a session has no shell that could continue it: nothing stops.
    m.type('\x1a')
    m.shows('connected for')
    assert not m.is_stopped() and m.is_raw()
    m.type('q')
    m.ended()

    shell = Terminal(['/bin/bash', '--norc', '-i'], environ(t, PS1='prompt> '))
    t.closers.append(lambda: shell.master is None or shell.close())
    shell.shows('prompt>')
    shell.screen.modes.pop('2004', None)
    for _ in range(2):
        shell.type('%s monitor\n' % program('holdfastctl'))
        wait_for(lambda: shell.read() and shell.screen.modes['1049'], 'the screen')
        shell.shows('connected for')
        shell.type('\x1a')
        wait_for(lambda: shell.read() and not shell.screen.modes['1049'], 'the screen left')
        # In the background it must not touch the terminal: it stops again.
        seen = len(shell.raw)
        shell.type('bg' + 5 * '\n')     # keys that wait in the terminal are the shell's

        def stopped_again():
            shell.type('\n')
            shell.read()
            return b'&' in shell.raw[seen:] and b'Stopped' in shell.raw[seen:].partition(b'&')[2]
        wait_for(stopped_again, 'the second stop')
        shell.type('fg\n')
        wait_for(lambda: shell.read() and shell.screen.modes['1049'], 'the screen again')
        shell.shows('connected for')
        shell.type('q')
        wait_for(lambda: shell.read() and not shell.screen.modes['1049'], 'the end')
        shell.screen.clear()
        shell.type('echo "status $?"\n')
        shell.shows('status 0')
    shell.type('%s monitor\n' % program('holdfastctl'))
    wait_for(lambda: shell.read() and shell.screen.modes['1049'], 'the screen')
    shell.type('\x1a')
    wait_for(lambda: shell.read() and not shell.screen.modes['1049'], 'the screen left')
    shell.screen.clear()
    shell.type('kill %1; wait; echo all gone\n')
    wait_for(lambda: 'all gone\n' in shell.read().replace('echo all gone\n', ''), 'its end')
    shell.close()


@test
def started_in_the_background_it_waits_for_fg(t):
    t.connected()
    shell = Terminal(['/bin/bash', '--norc', '-i'], environ(t, PS1='prompt> '))
    t.closers.append(lambda: shell.master is None or shell.close())
    shell.shows('prompt>')
    shell.type('%s monitor &\n' % program('holdfastctl'))

    def stopped():
        shell.type('\n')
        return 'Stopped' in shell.read()
    wait_for(stopped, 'the stop')
    assert not shell.screen.modes['1049'], 'it took the terminal of the shell'
    shell.type('fg\n')
    wait_for(lambda: shell.read() and shell.screen.modes['1049'], 'the screen')
    shell.shows('connected for')
    shell.type('q')
    wait_for(lambda: shell.read() and not shell.screen.modes['1049'], 'the end')
    shell.close()


@test
def after_a_stop_that_nobody_hears_it_takes_the_terminal_again(t):
    t.connected()
    m = monitor(t)
    m.process.send_signal(signal.SIGSTOP)
    wait_for(m.is_stopped)
    termios.tcsetattr(m.slave, termios.TCSANOW, m.before)       # as a shell does
    m.screen.clear()
    m.process.send_signal(signal.SIGCONT)
    wait_for(m.is_raw)
    m.shows('connected for')
    m.type('q')
    m.ended()


@test
def without_the_bus_it_ends_and_says_so(t):
    t.bus = Bus()
    try:
        t.connected()
        m = monitor(t, '--user')
        m.shows('connected for')
    finally:
        t.bus.stop()
    m.ended(status=5)
    assert 'connection to the bus was lost' in m.raw.decode()


@test
def it_follows_the_size_of_the_terminal(t):
    _, _, c = t.connected()
    c.storage.SetItem('a-key-with-a-long-name-' + 'x' * 200, 'v')
    m = monitor(t)
    for rows, columns in ((5, 20), (1, 1), (2, 20), (24, 80), (60, 250), (5, 20), (200, 20), (3, 400)):
        m.resize(rows, columns)
        wait_for(lambda: m.read().strip() and m.screen.settled,
                 'a picture of %d x %d' % (rows, columns))
        if columns >= 20:
            m.shows('connected')
        if (rows, columns) == (5, 20):
            m.shows('empty')
            wait_for(lambda: re.search('[▁▂▃▄▅▆▇█]', m.read()), 'a sparkline')
    m.type('q')
    m.ended()


@test
def a_still_picture_writes_little(t):
    t.connected({'Heartbeat': {'Interval': '1h'}})
    m = monitor(t)
    m.shows('connected for', 'mean')
    second = int(wait_for(lambda: re.search(r'connected for ([2-9])s', m.read())).group(1))
    m.screen.writes = 0
    raw = len(m.raw)
    m.shows('connected for %ds' % (second + 3))
    assert b'\x1b[2J' not in m.raw[raw:], 'the screen was cleared'
    assert m.screen.writes < 3 * 5 * 80, m.screen.writes
    m.type('q')
    m.ended()


@test
def foreign_text_cannot_steer_the_terminal(t):
    p, _, c = t.connected()
    p.refuse_ops['bad'] = ('rejected', 'evil \x1b]0;title\x07 \x1b[2J\r\n\x9b31m \u202e end')
    m = monitor(t, columns=200)
    c.storage.SetItem('bad', 'v')
    m.shows('rejected  bad', 'evil ?]0;title? ?[2J')
    m.type('q')
    m.ended()
    raw = m.raw.decode()
    assert '\x1b]' not in raw and '\x07' not in raw and '\x9b' not in raw and '\u202e' not in raw


@test
def without_utf8_all_is_ascii(t):
    _, _, c = t.connected({'Heartbeat': {'Interval': ms(300)}})
    m = monitor(t, env=environ(t, LC_ALL='C', LANG='C'))
    c.storage.SetItem('schlüssel', 'v')
    m.shows('changed   schl?ssel (local)')
    wait_for(lambda: re.search('mean [0-9.a-z]+ [_.~=+*#-]{3}', m.read()), 'a sparkline')
    m.type('q')
    m.ended()
    m.raw.decode('ascii')


@test
def no_keyboard_is_no_trouble(t):
    t.connected()
    m = monitor(t, stdin=False)
    m.shows('connected for')
    m.process.send_signal(signal.SIGTERM)
    m.ended()


@test
def without_a_daemon_it_ends_with_five(t):
    m = on_terminal(t, 'monitor')
    m.ended(status=5)
    assert ESC not in m.raw.decode()


# ---- colours ----

@test
def colours_are_for_terminals_that_want_them(t):
    t.connected()
    for env, wanted in (({}, True), ({'NO_COLOR': ''}, True), ({'NO_COLOR': '1'}, False),
                        ({'TERM': 'dumb'}, False), ({'TERM': None}, True)):
        for args in (['status'], ['--help']):
            m = on_terminal(t, *args, env=environ(t, **env), rows=100)
            m.ended()
            equal(ESC in m.raw.decode(), wanted, '%s with %s' % (args, env))
        assert ESC not in run(t, 'status', env=environ(t, **env))[0]
    m = monitor(t, env=environ(t, NO_COLOR='1'))
    m.shows('connected for')
    m.type('q')
    m.ended()
    equal([s for s in m.screen.styles if s != '0'], [])


@test
def a_dumb_terminal_gets_lines(t):
    t.connected()
    m = on_terminal(t, 'monitor', env=environ(t, TERM='dumb'), rows=100)
    m.shows('state     connected', 'numbers   latency')
    assert not m.is_raw()
    m.process.send_signal(signal.SIGINT)
    m.ended()
    assert ESC not in m.raw.decode()


@test
def a_dumb_terminal_sees_no_progress_of_flush(t):
    p, _, c = t.connected()
    p.hold('batch')
    serial = c.storage.SetItem('k', 'v')
    shown = on_terminal(t, 'flush')
    dumb = on_terminal(t, 'flush', env=environ(t, TERM='dumb'))
    wait_for(lambda: '1 entry' in shown.read())
    p.release('batch')
    c.storage.Await(serial, FOREVER)
    shown.ended()
    dumb.ended()
    equal(dumb.raw, b'')


@test
def an_interrupted_flush_leaves_a_whole_line(t):
    p, _, c = t.connected()
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    for end in ('\x03', signal.SIGTERM, signal.SIGHUP):
        m = on_terminal(t, 'flush')
        m.shows('1 entry')
        if isinstance(end, str):
            m.type(end)
        else:
            m.process.send_signal(end)
        m.ended(status=-{'\x03': signal.SIGINT}.get(end, end))
        assert re.search(r'1 entry, [0-9]+ bytes? left(\^C)?\r\n$', m.raw.decode()), m.raw
    # Ignored signals stay ignored.
    env = environ(t, LC_ALL='C')
    m = Terminal(['sh', '-c', 'trap "" HUP; exec "$0" flush', program('holdfastctl')], env)
    t.closers.append(lambda: m.master is None or m.close())
    m.shows('1 entry')
    m.process.send_signal(signal.SIGHUP)
    p.release('batch')
    m.ended()


@test
def the_manual_has_every_member_of_status(t):
    t.connected()
    got = json.loads(run(t, 'status', '--json=short')[0])
    with open(os.path.join(TOP, 'man', 'holdfastctl.1')) as file:
        manual = file.read()
    described = manual[manual.index('.It Cm status\nAn object'):]
    described = described[:described.index('\n.It ')]
    equal(sorted(re.findall('^.Ql ([a-zA-Z]+)', described, re.M)), sorted(got))


@test
def help_looks_as_systemds(t):
    text, _ = run(t, '--help')
    assert text.startswith('holdfastctl [OPTIONS...] COMMAND ...\n'), text
    for part in ('Item Commands:\n', 'Queue Commands:\n', 'Options:\n', 'See the holdfastctl(1) man'):
        assert part in text, text
    assert max(len(line) for line in text.split('\n')) <= 80
    equal(run(t, 'get', '--help')[0], text)


@test
def usage_errors_name_the_verb(t):
    for args, wanted in ((['get'], 'holdfastctl get KEY'), (['monitor', 'x'], "'monitor' takes no"),
                         (['metrics', '--json=short'], "'metrics'"),
                         (['get', 'k', '--textfile=x'], "'metrics', not 'get'"),
                         (['metrics', '--textfile='], 'names no file'),
                         (['get', 'k', '--auto-start=maybe'], 'yes or no')):
        text = run(t, *args, status=2)[1]
        assert wanted in text, text


# ---- lines ----

class Lines:
    """holdfastctl with its output in a file."""

    def __init__(self, t, *args):
        self.path = os.path.join(t.dir, 'lines.out')
        with open(self.path, 'w') as out:
            self.process = subprocess.Popen([program('holdfastctl')] + list(args), env=environ(t),
                                            stdin=subprocess.DEVNULL, stdout=out)
        t.closers.append(lambda: self.process.poll() is not None or self.process.kill())

    def lines(self):
        with open(self.path) as file:
            return file.read().split('\n')[:-1]

    def has(self, *texts):
        return any(all(text in line for text in texts) for line in self.lines())

    def ended(self):
        self.process.send_signal(signal.SIGTERM)
        wait_for(lambda: self.process.poll() is not None)
        equal(self.process.returncode, 0)


@test
def lines_into_a_file(t):
    p, d, c = t.connected()
    out = Lines(t, 'monitor')
    wait_for(lambda: out.has('state     connected') and out.has('numbers   latency', 'mean'))
    p.hold('batch')
    c.storage.SetItem('k', 'v')
    wait_for(lambda: out.has('changed   k (local)') and out.has('1 entry', 'oldest'))
    p.stop()
    wait_for(lambda: out.has('connected -> disconnected'))
    d.kill9()
    wait_for(lambda: out.has('daemon    gone'))
    d.start()
    wait_for(lambda: out.has('daemon    back') and out.has('state     connecting')
             or out.has('state     disconnected'))
    out.ended()
    for line in out.lines():
        assert re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \w+ +\S', line), line
        assert ESC not in line


@test
def json_lines_parse(t):
    p, _, c = t.connected()
    out = Lines(t, 'monitor', '--json=short')
    p.hold('batch')
    wait_for(lambda: out.has('ConnectionStateChanged'))
    c.storage.SetItem('k', 'v')
    wait_for(lambda: any(e['queueSize'] == 1 and e['oldestQueued'] for e in map(json.loads, out.lines())
                         if e['event'] == 'Numbers'))
    p.release('batch')
    out.ended()
    events = [json.loads(line) for line in out.lines()]
    numbers = [e for e in events if e['event'] == 'Numbers']
    equal((numbers[0]['state'], numbers[0]['failedPings']), ('connected', 0))
    assert any(e['roundTrip'] and e['averageLatency'] for e in numbers), numbers
    assert all(abs(e['time'] / 1e6 - time.time()) < 120 for e in events)
    assert [e['key'] for e in events if e['event'] == 'ItemChanged'], events


@test
def what_was_not_measured_yet_has_no_figure(t):
    p, d, _ = t.connected({'Heartbeat': {'Interval': ms(300), 'MaxFailedPings': '99'}})
    m = monitor(t)
    wait_for(lambda: re.search('Latency: +[0-9].*, mean [1-9].* [▁▂▃▄▅▆▇█]', m.read()), 'a figure')
    p.hold('ping')
    d.kill9()
    m.shows('daemon not there')
    d.start()
    # What was seen of the daemon before stays to be seen; its figures do not.
    wait_for(lambda: re.search('Latency: +not measured yet [▁▂▃▄▅▆▇█]', m.read()), 'no figure')
    out = Lines(t, 'monitor')
    wait_for(lambda: out.has('numbers   latency not measured yet; '))
    out.ended()
    assert not out.has('mean') and not out.has('0us'), out.lines()
    out = Lines(t, 'monitor', '--json=short')
    wait_for(lambda: out.has('"Numbers"'))
    out.ended()
    numbers = [e for e in map(json.loads, out.lines()) if e['event'] == 'Numbers']
    equal({(e['roundTrip'], e['averageLatency']) for e in numbers}, {(None, None)})
    equal(json.loads(run(t, 'status', '--json=short')[0])['averageLatency'], None)
    assert re.search('Latency: not measured yet\n', run(t, 'status')[0])
    p.release('ping')
    wait_for(lambda: re.search('Latency: +[0-9].*, mean [1-9]', m.read()), 'a figure again')
    m.type('q')
    m.ended()


@test
def a_reader_who_leaves_ends_it_quietly(t):
    t.connected({'Heartbeat': {'Interval': '1h'}})
    for verb in ('monitor', 'watch'):
        for ignore in (False, True):
            process = subprocess.Popen(
                [program('holdfastctl'), '--json=short', verb], env=environ(t),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN if ignore
                                                 else signal.SIG_DFL))
            json.loads(process.stdout.readline())
            process.stdout.close()
            wait_for(lambda: process.poll() is not None, '%s to end' % verb)
            assert process.returncode in (0, -signal.SIGPIPE), process.returncode
            equal(process.stderr.read(), b'')
            process.stderr.close()


@test
def a_full_disk_is_an_error(t):
    t.connected()
    for verb in ('monitor', 'watch', 'status'):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([program('holdfastctl'), verb], env=environ(t), stdout=full,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30 * SLOW)
        equal(done.returncode, 1)
        assert b'cannot be written' in done.stderr, done.stderr


@test
def asking_need_not_start_the_daemon(t):
    text = run(t, '--auto-start=no', 'list', status=5)[1]
    assert 'not running' in text, text
    _, _, c = t.connected()
    c.storage.SetItem('k', 'v')
    c.area('mine').SetItem('k', 'v')
    equal(run(t, '--auto-start=no', 'list')[0], 'k\n')
    equal(set(run(t, 'areas')[0].split()) >= {'mine'}, True)
    assert 'mine' in json.loads(run(t, 'areas', '--json=short')[0])


if __name__ == '__main__':
    main()
