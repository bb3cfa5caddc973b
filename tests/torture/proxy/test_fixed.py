#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults between the daemon and its parent in a fixed order, such as random schedules seldom make;
and that a schedule that does not heal is seen."""

import test_schedules
from faultworld import SHIPPED, SHORT, Audit, FaultWorld, wait_settled
from harness import *
from schedule import Schedule


def begun(world, settings=SHORT):
    client = world.begin(settings)
    return client, client.storage


@test
def old_batches_sent_again_are_duplicates(world):
    audit = Audit(world.parent_process.dbpath)
    client, storage = begun(world)
    for i in range(5):
        storage.SetItem('k', str(i))
        storage.Flush(FOREVER)
    done, revision = audit.rows(), audit.revision()
    equal(len(done), 5)
    for how in ('this', 'older'):
        before = world.proxy.stats()['duplicates']
        # The hello that is said again ends the daemon's own connection, and the next one of the
        # daemon's would end this.
        world.proxy.ask('refuse on')
        world.proxy.ask('anew ' + how)
        wait_for(lambda: world.proxy.stats()['duplicates'] == before + 5, 'five duplicates')
        world.proxy.ask('heal')
        wait_settled(client, [storage], 15 * SLOW)
    equal((audit.rows(), audit.revision(), len(audit.clients())), (done, revision, 1))


@test
def lines_said_again_on_the_same_connection_do_nothing(world):
    audit = Audit(world.parent_process.dbpath)
    client, storage = begun(world)
    for i in range(20):
        storage.SetItem('k%d' % i, str(i))
        storage.Flush(FOREVER)
        world.proxy.ask('replay %s this' % ('up' if i % 2 else 'down'))
        wait_settled(client, [storage], 15 * SLOW)
    equal([row[2] for row in audit.rows()], [str(i) for i in range(20)])
    assert world.proxy.stats()['replays'] == 20, world.proxy.stats()


@test
def garbage_in_place_of_a_hello_is_no_reason_to_stay_away(world):
    client, storage = begun(world, SHIPPED)
    for line in ('garbage', '{"type":"ping","pingTime":1}', '{"type":"hello","client":"x"}'):
        world.proxy.ask('hole up stop')
        world.proxy.ask('cut')
        wait_for(lambda: client.monitor.get('State') == 'connecting' and
                 world.proxy.stats()['links'] == 1, 'a hello on its way', 10 * SLOW)
        equal(world.proxy.ask('line up ' + line), 1)
        storage.SetItem('k', line)
        world.proxy.ask('heal')
        wait_settled(client, [storage], 15 * SLOW)


# ---- the checks themselves ----

class NotHealed(test_schedules.Run):
    def do_proxy(self, what):
        return super().do_proxy('refuse on' if what == 'heal' else what)


@test
def a_schedule_that_does_not_heal_is_seen(world):
    schedule = Schedule(1, 1)
    schedule.steps, schedule.length = [(0, 'proxy', 'cut'), (0, 'proxy', 'refuse on')], 0.3
    run = NotHealed(world, schedule)
    run.begin()
    run.faults()
    try:
        run.heal(deadline=1)
    except AssertionError as error:
        assert 'connected and an empty queue' in str(error), error
    else:
        raise AssertionError('not healed, and not seen')
    assert 'disconnected' in run.status(), run.status()
    text = test_schedules.describe_failure(run, ['why'])
    assert 'HOLDFAST_TEST_SCHEDULE=1' in text and 'proxy refuse on' in text, text


if __name__ == '__main__':
    main(make_env=FaultWorld)
