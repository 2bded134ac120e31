"""All kinds of input that the fuzzer makes malformed."""

from fuzz import kinds_commands, kinds_data, kinds_records

KINDS = [*kinds_records.KINDS, *kinds_data.KINDS, *kinds_commands.KINDS]
