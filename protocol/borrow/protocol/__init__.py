"""The language of Borrow: messages, signatures, lifecycles and errors. Pure: no IO, no clock."""
