#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""GetMetrics: what real calls, a real parent and a misbehaving one add to the numbers, to the digit;
and that others can read the text."""

import re
import shutil
import subprocess
import time

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

from harness import *

ODD = 'canary "}\\ 1\u2028 # EOF'     # a key that would spoil the text, were it in there
STATES = ('connecting', 'connected', 'disconnected')
CALM = {'Heartbeat': {'Interval': '1h', 'Timeout': ms(2000)}, 'Debounce': {'Delay': '0'}}


def samples(text):
    """Sample with its labels, as it is written → number as it is written."""
    lines = [line for line in text.split('\n') if line and not line.startswith('#')]
    return dict(line.rsplit(' ', 1) for line in lines)


def read(c):
    return samples(c.manager.GetMetrics())


def families(text):
    """Name → (type, unit, help), as written."""
    found = {}
    for kind, name, rest in re.findall(r'^# (TYPE|UNIT|HELP) (\S+) (.*)$', text, re.M):
        found.setdefault(name, {})[kind] = rest
    return found


class Change:
    """What changes from here on: change.is_({'writes_total': 2}); what is not named must not."""

    # These go on by themselves, or are gauges that each test looks at as it likes.
    FREE = re.compile(r'_bucket|_sum|_count|_seconds|_bytes |commits_total|pings_|connection_state|'
                      r'queue_|cache_entries|cache_bytes|items|sent_bytes')

    def __init__(self, c):
        self.c = c
        self.before = read(c)

    def is_(self, wanted):
        wanted = {'holdfast_' + name: n for name, n in wanted.items()}
        after = {}

        def found():
            after.update(read(self.c))
            changed = {name: int(after[name]) - int(self.before[name]) for name in after
                       if name in wanted or not self.FREE.search(name)}
            self.last = {name: n for name, n in changed.items() if n}
            return self.last == wanted
        try:
            wait_for(found)
        except AssertionError:
            raise AssertionError('changed %r, wanted %r' % (self.last, wanted)) from None
        self.before = after


def once(p, kind, act):
    """Do this to the next message of a kind, then be polite again."""
    def hook(conn, message):
        del p.on[kind]
        return act(conn, message)
    p.on[kind] = hook


# ---- the text ----

@test
def every_family_is_described(t):
    _, _, c = t.connected()
    text = c.manager.GetMetrics()
    assert text.endswith('\n# EOF\n'), text[-100:]
    equal(text.count('# EOF'), 1)
    found = families(text)
    assert len(found) > 35, sorted(found)
    for name, meta in found.items():
        assert re.fullmatch('holdfast_[a-z_]+', name), name
        assert meta['TYPE'] in ('counter', 'gauge', 'histogram', 'info', 'stateset'), meta
        assert meta['HELP'].endswith('.'), meta
        unit = re.search('_(seconds|bytes)$', name)
        equal(meta.get('UNIT'), unit and unit.group(1), name)
    for sample, number in samples(text).items():
        name = sample.split('{')[0]
        owner = [f for f in found if name == f or name[:len(f)] == f and name[len(f):] in
                 ('_total', '_info', '_bucket', '_count', '_sum')]
        assert owner, sample
        if name.endswith(('_total', '_count', '_bucket')):
            assert re.fullmatch(r'\d+', number), (sample, number)


@test
def the_manual_has_every_family(t):
    _, c = t.offline()
    with open(os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
            os.path.abspath(__file__)))), 'man', 'org.holdfast1.5')) as file:
        page = file.read().split('.Ss Metrics')[1].split('\n.Ss ')[0]
    explained = {}
    for names, kind in re.findall(r'^\.It Li (.*) No \((\w+?)s?\)$', page, re.M):
        explained.update({name: kind for name in names.split(' , ')})
    equal(explained, {name: meta['TYPE'] for name, meta in
                      families(c.manager.GetMetrics()).items()})


@test
def prometheus_client_reads_it(t):
    if text_string_to_metric_families is None:
        raise Skip('python3-prometheus-client is not there')
    _, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    c.storage.GetItem('k')
    text = c.manager.GetMetrics()
    found = {f.name: f for f in text_string_to_metric_families(text)}
    equal({name: f.type for name, f in found.items()},
          {name: meta['TYPE'] for name, meta in families(text).items()})
    equal({name: f.unit for name, f in found.items()},
          {name: meta.get('UNIT', '') for name, meta in families(text).items()})
    equal([(s.name, s.labels) for s in found['holdfast_build'].samples],
          [('holdfast_build_info', {'version': c.manager.get('Version')})])
    equal({s.labels['holdfast_connection_state']: s.value
           for s in found['holdfast_connection_state'].samples},
          {'connecting': 0, 'connected': 1, 'disconnected': 0})
    started = found['holdfast_start_time_seconds'].samples[0].value
    assert time.time() - 60 * SLOW < started <= time.time() + 1, started
    equal(sum(len(f.samples) for f in found.values()), len(samples(text)))
    for f in found.values():
        if f.type == 'histogram':
            count = [s.value for s in f.samples if s.name.endswith('_count')]
            equal([s.value for s in f.samples if s.labels.get('le') == '+Inf'], count, f.name)
            total = [s.value for s in f.samples if s.name.endswith('_sum')][0]
            assert count[0] >= 1 and 0 < total < 60 * SLOW, (f.name, count, total)


def as_prometheus_text(text):
    """OpenMetrics as the older text format, which is what promtool 2 reads. # EOF and # UNIT it takes
    for comments, but it knows no types info and stateset, and a counter's family is called there as
    its sample is."""
    text = re.sub(r'^(# \w+ \w+)( counter)$', r'\1_total\2', text, flags=re.M)
    for name in re.findall(r'^# TYPE (\w+)_total counter$', text, re.M):
        text = re.sub(r'^(# (?:HELP|UNIT) %s) ' % name, r'\1_total ', text, flags=re.M)
    text = re.sub(r'^(# TYPE holdfast_build)( info)$', r'\1_info gauge', text, flags=re.M)
    text = re.sub(r'^(# HELP holdfast_build) ', r'\1_info ', text, flags=re.M)
    return re.sub(r' stateset$', ' gauge', text, flags=re.M)


@test
def promtool_finds_nothing_to_complain_of(t):
    if not shutil.which('promtool'):
        raise Skip('promtool is not there')
    _, _, c = t.connected()
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    text = as_prometheus_text(c.manager.GetMetrics())
    assert '# EOF' in text and '# UNIT' in text
    done = subprocess.run(['promtool', 'check', 'metrics'], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60 * SLOW)
    equal((done.returncode, done.stdout), (0, ''))
    # Its other parser is for OpenMetrics, but wants a time with each sample.
    dated = re.sub(r'^([^#].*)$', r'\1 1700000000', c.manager.GetMetrics(), flags=re.M)
    path = os.path.join(t.dir, 'dated')
    with open(path, 'w') as file:
        file.write(dated)
    done = subprocess.run(['promtool', 'tsdb', 'create-blocks-from', 'openmetrics', path,
                           os.path.join(t.dir, 'blocks')], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60 * SLOW)
    equal(done.returncode, 0, done.stdout)
    # and it would complain if there were something
    done = subprocess.run(['promtool', 'check', 'metrics'], text=True, stdout=subprocess.PIPE,
                          input=text.replace('# HELP holdfast_acks_total', '# Help x'),
                          stderr=subprocess.STDOUT, timeout=60 * SLOW)
    assert done.returncode != 0 and 'holdfast_acks_total' in done.stdout, done.stdout


@test
def no_key_area_value_or_address_is_in_it(t):
    p, d, c = t.connected({'Debounce': {'Delay': '0'}, 'Area canary-area': {'Limit': '5'}})
    names = set(read(c))
    area = c.area('canary-area')
    p.refuse_ops[ODD + '2'] = ('rejected', 'canary reason')
    for place in (area, c.storage):
        place.SetItem(ODD, 'canary value')
        place.SetItem(ODD + '2', 'canary value')
        place.Flush(FOREVER)
        equal(place.GetItem(ODD), 'canary value')
    p.stop()
    c.monitor.state_is('disconnected')
    area.SetItem(ODD + '3', 'canary value')
    text = c.manager.GetMetrics()
    for secret in ('canary', t.dir, 'unix:', 'default', p.epoch):
        assert secret not in text, secret
    equal(set(samples(text)), names, 'the same samples, whatever happened')
    assert 'canary' in str(area.ListKeys('')), 'the test looks for what is there'


@test
def others_may_not_ask_in_vain(t):
    """It is answered again and again, at once, also while nothing else is."""
    p, _, c = t.connected()
    p.hold('batch', 'getFromParentStorage', 'ping')
    c.storage.SetItem('k', 'v')
    calls = [c.manager.start('GetMetrics') for _ in range(50)]
    for call in calls:
        assert call.wait().endswith('# EOF\n')


# ---- the numbers ----

@test
def writes_and_acks_are_counted(t):
    p, _, c = t.connected(CALM)
    change = Change(c)
    c.storage.Await(c.storage.SetItem('a', '12345'), FOREVER)
    c.storage.Await(c.storage.SetItems({'b': '1', 'cc': '2'}), FOREVER)
    c.storage.Await(c.storage.RemoveItem('a'), FOREVER)
    change.is_({'writes_total': 3, 'batches_sent_total': 3, 'acks_total': 3,
                'operations_acked_total': 4, 'sent_bytes_total': 12})
    equal(len(p.batches()), 3)
    now = read(c)
    equal([now['holdfast_queue_' + n] for n in ('entries', 'bytes', 'oldest_age_seconds')],
          ['0', '0', '0.000000'])
    # b, cc and what is left of a: its tombstone
    equal((now['holdfast_items'], now['holdfast_items_bytes']), ('3', '6'))
    equal(int(now['holdfast_commits_total']),
          int(now['holdfast_commit_duration_seconds_count']))
    assert int(now['holdfast_commits_total']) >= 3


@test
def reads_are_counted_by_what_answered(t):
    p, _, c = t.connected(dict(CALM, Cache={'TTL': '1h'}))
    p.put('there', 'v')
    change = Change(c)
    c.storage.GetItem('there')
    c.storage.GetItem('there')
    fails('NoSuchItem', c.storage.GetItem, 'absent')
    fails('NoSuchItem', c.storage.GetItem, 'absent')
    equal(c.storage.GetItems(['there', 'absent']), {'there': 'v'})
    change.is_({'reads_total{source="parent"}': 2, 'reads_total{source="cache"}': 4,
                'cache_hits_total': 4, 'cache_misses_total': 2, 'fetches_total': 2})
    equal(read(c)['holdfast_cache_entries'], '2')
    p.hold('batch')
    c.storage.SetItem('own', 'v')
    c.storage.GetItem('own')
    equal(c.storage.full('there', source='local')[1]['source'], 'local')
    change.is_({'writes_total': 1, 'batches_sent_total': 1, 'reads_total{source="queue"}': 1,
                'reads_total{source="local"}': 1, 'stale_reads_total': 1})
    p.stop()
    c.monitor.state_is('disconnected')
    fails('Unavailable', c.storage.GetItem, 'never')
    change.is_({'disconnects_total': 1, 'reads_total{source="none"}': 1,
                'cache_misses_total': 1})


@test
def a_full_queue_is_counted(t):
    _, c = t.offline({'Area drops': {'Limit': '2', 'Overflow': 'drop-oldest'},
                      'Area refuses': {'Limit': '1'}})
    drops, refuses = c.area('drops'), c.area('refuses')
    change = Change(c)
    for key in 'abcde':
        drops.SetItem(key, 'v')
    refuses.SetItem('a', 'v')
    fails('QuotaExceeded', refuses.SetItem, 'b', 'v')
    fails('InvalidKey', refuses.SetItem, '', 'v')
    fails('TooLarge', refuses.SetItem, 'a', 'x' * (2 ** 20 + 1))
    change.is_({'writes_total': 6, 'dropped_entries_total': 3,
                'writes_refused_total{reason="quota"}': 1,
                'writes_refused_total{reason="invalid"}': 1,
                'writes_refused_total{reason="too-large"}': 1})
    now = read(c)
    equal((now['holdfast_queue_entries'], now['holdfast_queue_bytes'], now['holdfast_areas']),
          ('3', '6', '3'))


@test
def the_age_of_the_queue_grows(t):
    _, c = t.offline()
    began = time.monotonic()
    c.storage.SetItem('k', 'v')
    wait_for(lambda: float(read(c)['holdfast_queue_oldest_age_seconds']) > 0.3)
    age = float(read(c)['holdfast_queue_oldest_age_seconds'])
    assert age <= time.monotonic() - began + 0.01, age


@test
def rejections_are_counted(t):
    p, _, c = t.connected(CALM)
    p.refuse_ops[ODD] = ('rejected', 'not this one')
    p.refuse_ops['full'] = ('quota', 'no room')
    change = Change(c)
    good, bad = c.storage.SetItem('good', 'v'), c.storage.SetItem(ODD, 'v')
    c.storage.SetItem('full', 'v')
    c.storage.Await(good, FOREVER)
    fails('Rejected', c.storage.Await, bad, FOREVER)
    c.storage.Flush(FOREVER)
    batches = len(p.batches())
    change.is_({'writes_total': 3, 'rejections_total': 2, 'operations_acked_total': 1,
                'rejected_entries': 2, 'batches_sent_total': batches, 'acks_total': batches})
    c.storage.DropRejected(bad)
    change.is_({'rejected_entries': -1})


@test
def a_duplicate_ack_is_counted(t):
    p, _, c = t.connected(CALM)
    change = Change(c)

    def applied_but_unanswered(conn, m):
        p.apply_batch(conn.client, m)
        conn.close()
    once(p, 'batch', applied_but_unanswered)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    change.is_({'writes_total': 1, 'batches_sent_total': 2, 'acks_total': 1,
                'duplicate_acks_total': 1, 'operations_acked_total': 1, 'connects_total': 1,
                'disconnects_total': 1, 'batch_retries_total{class="closed"}': 1})


@test
def retries_are_counted_by_class(t):
    p, _, c = t.connected(dict(CALM, Parent={'BatchTimeout': ms(300)}))
    change = Change(c)
    for kind in ('transient', 'capacity'):
        once(p, 'batch', lambda conn, m: conn.send(p.error(m, kind, retryAfter=10)))
        c.storage.Await(c.storage.SetItem(kind, 'v'), FOREVER)
    change.is_({'writes_total': 2, 'batches_sent_total': 4, 'acks_total': 2,
                'operations_acked_total': 2, 'batch_retries_total{class="transient"}': 1,
                'batch_retries_total{class="capacity"}': 1})
    once(p, 'batch', lambda conn, m: None)
    c.storage.Await(c.storage.SetItem('timeout', 'v'), FOREVER)
    change.is_({'writes_total': 1, 'batches_sent_total': 2, 'acks_total': 1,
                'operations_acked_total': 1, 'batch_retries_total{class="timeout"}': 1,
                'connects_total': 1, 'disconnects_total': 1})
    once(p, 'getFromParentStorage', lambda conn, m: conn.send(p.error(m, 'transient')))
    fails('NoSuchItem', c.storage.GetItem, 'k')
    change.is_({'fetches_total': 2, 'fetch_retries_total{class="transient"}': 1,
                'reads_total{source="parent"}': 1, 'cache_misses_total': 1})


@test
def direct_requests_are_counted(t):
    _, _, c = t.connected(CALM)
    change = Change(c)
    c.direct.SetItem('k', 'v')
    equal(c.direct.GetItem('k'), 'v')
    c.direct.RemoveItem('k')
    change.is_({'direct_requests_total{operation="%s"}' % word: 1
                for word in ('get', 'set', 'remove')})


@test
def pings_and_states_are_counted(t):
    p, _, c = t.connected({'Heartbeat': {'Interval': ms(50), 'Timeout': ms(100)},
                           'Reconnect': {'InitialDelay': '1h', 'MaxDelay': '1h'}})

    def number(name):
        return int(read(c)['holdfast_' + name])

    def state():
        now = read(c)
        return [s for s in STATES if
                now['holdfast_connection_state{holdfast_connection_state="%s"}' % s] == '1']
    wait_for(lambda: number('pings_answered_total') >= 3)
    equal(state(), ['connected'])
    p.hold('ping')
    c.monitor.state_is('disconnected')
    equal(state(), ['disconnected'])
    now = read(c)
    equal(now['holdfast_pings_failed_total'], '3')
    equal(now['holdfast_pings_sent_total'], str(c.monitor.get('TotalPings')))
    equal(now['holdfast_ping_round_trip_seconds_count'], now['holdfast_pings_answered_total'])
    equal((now['holdfast_connects_total'], now['holdfast_disconnects_total']), ('1', '1'))


@test
def a_parent_that_forgets_is_counted(t):
    p, _, c = t.connected(CALM)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    change = Change(c)
    with p.lock:
        p.last.clear()
        p.drop()
    change.is_({'parent_lost_data_total': 1, 'connects_total': 1, 'disconnects_total': 1})
    with p.lock:
        client = p.of('hello')[-1]['client']
        p.last[client] = (10 ** 6, '0' * 32, [])
        p.drop()
    wait_for(lambda: read(c)['holdfast_client_id_renewals_total'] == '1')


@test
def with_holdfast_parentd_it_is_the_same(t):
    t.parentd()
    t.daemon(CALM)
    c = t.client()
    c.monitor.state_is('connected')
    change = Change(c)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    equal(c.storage.GetItem('k'), 'v')
    fails('NoSuchItem', c.storage.GetItem, 'absent')
    change.is_({'writes_total': 1, 'batches_sent_total': 1, 'acks_total': 1,
                'operations_acked_total': 1, 'reads_total{source="cache"}': 1,
                'reads_total{source="parent"}': 1, 'cache_hits_total': 1,
                'cache_misses_total': 1, 'fetches_total': 1})


# ---- how long they last ----

@test
def a_reload_leaves_them_and_a_start_begins_anew(t):
    _, d, c = t.connected(CALM)
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    c.storage.GetItem('k')
    change = Change(c)
    d.configure(dict(CALM, Cache={'MaxBytes': '1M'}, Queue={'Limit': '5'}))
    c.manager.Reload()
    change.is_({})
    d.restart()
    c.monitor.state_is('connected')
    now = read(c)
    for name in ('writes_total', 'acks_total', 'operations_acked_total', 'batches_sent_total',
                 'reads_total{source="cache"}', 'cache_hits_total', 'disconnects_total'):
        equal(now['holdfast_' + name], '0', name)
    equal(now['holdfast_connects_total'], '1')
    equal(now['holdfast_items_bytes'], '2')


@test
def a_lost_bus_leaves_them(t):
    t.parent()
    bus = Bus()
    t.closers.append(bus.stop)
    t.daemon(CALM, environ={'DBUS_SESSION_BUS_ADDRESS': bus.address.split(',')[0]})
    c = Client(bus)
    c.monitor.state_is('connected')
    c.storage.Await(c.storage.SetItem('k', 'v'), FOREVER)
    change = Change(c)
    bus.kill()
    bus.start()
    change.c = Client(bus)
    t.closers.insert(0, change.c.close)

    def answers():
        try:
            return change.c.manager.GetMetrics()
        except BusError:
            return None
    wait_for(answers, 'the daemon on the new bus', 10 * SLOW)
    change.is_({})


if __name__ == '__main__':
    main()
