"""The waist: a protocol sums vectors of non-negative integers exactly, and does nothing else.

The server's side of a protocol is a generator (a flow) that yields requests and receives replies, so it reads like
the paper; a party's side is a pure step. Transport, metering, Flower and floating point are elsewhere.
"""

from fedsec.protocol.flow import Deliver, Flow, Item, Replies, Reply, Requests, Result, Sum, ask, run, total, transpose
from fedsec.protocol.messages import RECORDS, SERVER, Exposure, Message, PartyId, Record, State, Vector, reject_unknown
from fedsec.protocol.secure_sum import HEADINGS, PartyContext, Public, SecureSum, StateT, headings

__all__ = [
    "HEADINGS",
    "RECORDS",
    "SERVER",
    "Deliver",
    "Exposure",
    "Flow",
    "Item",
    "Message",
    "PartyContext",
    "PartyId",
    "Public",
    "Record",
    "Replies",
    "Reply",
    "Requests",
    "Result",
    "SecureSum",
    "State",
    "StateT",
    "Sum",
    "Vector",
    "ask",
    "headings",
    "reject_unknown",
    "run",
    "total",
    "transpose",
]
