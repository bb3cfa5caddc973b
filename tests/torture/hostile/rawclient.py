# SPDX-License-Identifier: LGPL-2.1-or-later
"""A D-Bus client that hides nothing: every message that comes is seen, so that a second answer to one
call is; and it may leave in the middle of a message."""

import os
import select
import socket

from gi.repository import Gio, GLib

PLAIN = Gio.DBusCapabilityFlags.NONE
NO_REPLY = Gio.DBusMessageFlags.NO_REPLY_EXPECTED
CHUNK = 1 << 18


class RawClient:
    """One connection. on_message(client, message) is called from turn() for what comes."""

    def __init__(self, address, on_message):
        self.on_message = on_message
        self.serial = 0
        self.buffer = bytearray()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(address.split('path=')[1].split(',')[0])
        self._ask(b'\0AUTH EXTERNAL %s\r\n' % str(os.geteuid()).encode().hex().encode(), b'OK')
        self.sock.sendall(b'BEGIN\r\n')
        self.send(self.call('org.freedesktop.DBus', '/org/freedesktop/DBus',
                            'org.freedesktop.DBus', 'Hello'))

    def _ask(self, line, wanted):
        self.sock.sendall(line)
        answer = self.sock.recv(1000)
        assert answer.startswith(wanted), answer

    @staticmethod
    def call(name, path, interface, member, body=None, no_reply=False):
        message = Gio.DBusMessage.new_method_call(name, path, interface, member)
        if body is not None:
            message.set_body(body)
        if no_reply:
            message.set_flags(NO_REPLY)
        return message

    def send(self, message, part=None):
        """Send, or only the first @part of it (0 to 1). Return: its serial."""
        self.serial += 1
        message.set_serial(self.serial)
        blob = message.to_blob(PLAIN)
        if part is not None:
            blob = blob[:int(len(blob) * part)]
        self.sock.sendall(blob)
        return self.serial

    def turn(self):
        """Take what has come. Return: whether anything had."""
        took = False
        while select.select([self.sock], [], [], 0)[0]:
            data = self.sock.recv(CHUNK)
            if not data:
                raise ConnectionError('the bus closed the connection')
            self.buffer += data
            took = True
            self._take()
            if len(data) < CHUNK:
                break
        return took

    def _take(self):
        at = 0
        while len(self.buffer) - at >= 16:
            need = Gio.DBusMessage.bytes_needed(bytes(self.buffer[at:at + 16]))
            if len(self.buffer) - at < need:
                break
            self.on_message(self, Gio.DBusMessage.new_from_blob(
                bytes(self.buffer[at:at + need]), PLAIN))
            at += need
        del self.buffer[:at]

    def close(self):
        self.sock.close()


def unpack(message):
    """The values of a message's body."""
    body = message.get_body()
    return body.unpack() if body is not None else ()


def dict_of(signature, pairs):
    """An a{..} that may have a key twice, which a Python dict cannot."""
    builder = GLib.VariantBuilder.new(GLib.VariantType.new(signature))
    for key, value in pairs:
        builder.add_value(GLib.Variant.new_dict_entry(key, value))
    return builder.end()
