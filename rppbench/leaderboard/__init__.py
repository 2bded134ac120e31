"""From records to tables, as data; numbers that papers print beside measured ones."""
