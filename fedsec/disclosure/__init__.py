"""The disclosure statement: who could learn what of a run, with numbers, for programs and for people."""

from fedsec.disclosure.facts import DISCLOSURE, Statement
from fedsec.disclosure.statement import Session, statement

__all__ = ["DISCLOSURE", "Session", "Statement", "statement"]
