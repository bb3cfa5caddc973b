# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a parent has applied, in order: triggers in holdfast-parentd's own database write it down.

They run in the transaction that applies a batch, so that the history is as durable as the data.
"""

import os
import shutil
import sqlite3

TRIGGERS = '''
CREATE TABLE history (n INTEGER PRIMARY KEY, area TEXT, key TEXT, value TEXT);
CREATE TABLE batches (n INTEGER PRIMARY KEY, client TEXT, batch INTEGER);
CREATE TRIGGER note_write AFTER INSERT ON item BEGIN
  INSERT INTO history (area, key, value) VALUES (new.area, new.key, new.value); END;
CREATE TRIGGER note_remove AFTER DELETE ON item BEGIN
  INSERT INTO history (area, key) VALUES (old.area, old.key); END;
CREATE TRIGGER note_first_batch AFTER INSERT ON client BEGIN
  INSERT INTO batches (client, batch) VALUES (new.client, new.batch); END;
CREATE TRIGGER note_batch AFTER UPDATE OF batch ON client WHEN new.batch <> old.batch BEGIN
  INSERT INTO batches (client, batch) VALUES (new.client, new.batch); END;
'''


def install(path):
    """Add the triggers to the database of a holdfast-parentd that does not run."""
    db = sqlite3.connect(path)
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'history'").fetchone():
        db.executescript('BEGIN;' + TRIGGERS + 'COMMIT;')
    db.close()


FILLER_AREA = 'filler'      # whatever was there before the session


class History:
    """@applied: (area, key, value or None) in order; @items: {(area, key): value}; without the
    filler's. @removes: how many removals were applied, of absent keys too."""

    def __init__(self, path, scratch):
        """@path: the database of a parent that does not run; what is read is a copy of it."""
        copy = os.path.join(scratch, 'history.db')
        for suffix in ('', '-wal'):
            if os.path.exists(path + suffix):
                shutil.copyfile(path + suffix, copy + suffix)
        db = sqlite3.connect(copy)
        self.damage = db.execute('PRAGMA integrity_check(1)').fetchone()[0]
        rows = db.execute('SELECT area, key, value FROM history ORDER BY n').fetchall()
        self.applied = [row for row in rows if row[0] != FILLER_AREA]
        self.batches = db.execute('SELECT client, batch FROM batches ORDER BY n').fetchall()
        self.items = {(a, k): v for a, k, v in db.execute('SELECT area, key, value FROM item')}
        self.removes = db.execute('SELECT revision FROM store').fetchone()[0] - \
            sum(1 for row in rows if row[2] is not None)
        self.clients = db.execute('SELECT count(*) FROM client').fetchone()[0]
        db.close()
        for suffix in ('', '-wal', '-shm'):
            if os.path.exists(copy + suffix):
                os.unlink(copy + suffix)
        self.sets = [(a, k, v) for a, k, v in self.applied if v is not None]
        self.place = {value: n for n, (_, _, value) in enumerate(self.applied) if value is not None}
