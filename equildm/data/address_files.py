"""The files of a data set at an address, by a line of text."""

import glob
from collections.abc import Mapping
from functools import cache

from ..runtime.address import Address, file_path
from ..runtime.remote import Entry, RemoteFolder


def address_files(patterns: list[str]) -> list[list[Address]]:
    """The files that each pattern stands for; none where there are none, as of a folder.

    Each folder is listed once, whatever the number of its files that are named.
    """

    @cache
    def listed(folder: str, pattern: str | None) -> Mapping[str, Entry | None]:
        parent = RemoteFolder(folder)
        return parent.top() if pattern is None else parent.matching(pattern)

    files = []
    for pattern in patterns:
        protocol, _, rest = pattern.rstrip("/").partition("://")
        parts = rest.split("/")
        magic = (i for i, part in enumerate(parts) if glob.has_magic(part))
        plain = next(magic, None)
        place = len(parts) - 1 if plain is None else plain
        folder, name = f"{protocol}://{'/'.join(parts[:place])}", "/".join(parts[place:])
        if plain is None and len(patterns) == 1:
            address = file_path(pattern)
            assert isinstance(address, Address)
            files.append([address] if name and address.is_file() else [])
            continue
        entries = listed(folder, None if plain is None else name)
        names = [name] if plain is None else list(entries)
        parent = RemoteFolder(folder)
        files.append([Address(parent, name, entries[name]) for name in names if entries.get(name)])
    return files
