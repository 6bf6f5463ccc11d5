"""The waist: a protocol sums vectors of non-negative integers exactly, and does nothing else.

The server's side of a protocol is a generator (a flow) that yields requests and receives replies, so it reads like
the paper; a party's side is a pure step. Transport, metering, Flower and floating point are elsewhere.
"""

from fedsec.protocol.coalitions import Coalition, Role
from fedsec.protocol.flow import (
    Deliver,
    Flow,
    Item,
    Replies,
    Reply,
    Requests,
    Result,
    Sum,
    ask,
    run,
    toss,
    total,
    transpose,
    verify,
)
from fedsec.protocol.messages import RECORDS, SERVER, Exposure, Message, PartyId, Record, State, Vector, reject_unknown
from fedsec.protocol.parameters import Parameter, parameter, parameters_of
from fedsec.protocol.secure_sum import HEADINGS, PartyContext, Public, SecureSum, StateT, headings
from fedsec.protocol.server_model import ServerModel

__all__ = [
    "HEADINGS",
    "RECORDS",
    "SERVER",
    "Coalition",
    "Deliver",
    "Exposure",
    "Flow",
    "Item",
    "Message",
    "Parameter",
    "PartyContext",
    "PartyId",
    "Public",
    "Record",
    "Replies",
    "Reply",
    "Requests",
    "Result",
    "Role",
    "SecureSum",
    "ServerModel",
    "State",
    "StateT",
    "Sum",
    "Vector",
    "ask",
    "headings",
    "parameter",
    "parameters_of",
    "reject_unknown",
    "run",
    "toss",
    "total",
    "transpose",
    "verify",
]
