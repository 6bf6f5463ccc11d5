"""Each check that a dishonest server meets is taken out of a copy of the code, and the tests must notice.

A long run, so it is a campaign: `nox -s campaign`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECAGG, PARTY = "tests/party/test_party_secagg.py", "tests/party/test_party.py"
ALL, FEW = "tests/strategies/test_dishonest_server.py", "tests/party/test_party_additive.py"
FALSE, ROBUST = "tests/strategies/test_false_shares.py", "tests/primitives/test_robust.py"
SIGNED = "tests/party/test_party_consistency.py"
PLAN = "tests/party/test_party_plan.py"
PROOF, KEY = "tests/primitives/test_blum_modulus.py", "tests/party/test_party_paillier.py"
BLUM, HOLDER = "fedsec/primitives/blum_modulus.py", "strategies/_key_holder.py"
PLAUSIBLE = "tests/encoding/test_plausible.py"
VERIFY, LIMITS = "tests/wire/test_verify_then_decode.py", "tests/wire/test_codec_limits.py"
ENROLMENT, SERVER = "tests/party/test_party_enrolment.py", "tests/server/test_coordinator.py"
REFUSALS = "tests/flower/test_refusals.py"
SHAMIR, CONTEXT, GLUE = (
    "tests/party/test_party_shamir.py",
    "tests/party/test_context.py",
    "tests/flower/test_flower_glue.py",
)

ADMISSION, NODES = "tests/agreement/test_admission.py", "tests/flower/test_agreement_nodes.py"
ADMIT, CLIENT = "fedsec/agreement/admission.py", "fedsec/flower/client.py"
OMITTED, UNASKED = "tests/strategies/test_omitted_seals.py", "tests/disclosure/test_false_share.py"
COMPLAINTS, DISPUTE = "tests/strategies/test_complaints.py", "fedsec/protocol/complaints.py"
MASKS, REOPENED = "tests/strategies/test_masks_disputed.py", "tests/party/test_party_secagg_disputes.py"
SIGNATURES = "tests/protocol/test_verify.py"
TERMS, TWICE, ROWS, CONFIGURED, HOSTILE, WEIGHED = (
    f"tests/disclosure/test_{name}.py"
    for name in ("chosen_terms", "asked_twice", "refusals", "configuration", "hostile_messages", "weights")
)
AGREED = "fedsec/agreement/admission.py"
SHARES, EXPLANATION = "tests/disclosure/test_shares_of_rows.py", "tests/agreement/test_explanation.py"

# file, what is taken out, what stands there instead, and the tests that must fail
CHECKS = [
    ("strategies/secagg.py", "if not others <= me.cohort:", "if False:", SECAGG),
    ("strategies/secagg.py", "if me.id not in keys or keys[me.id].public != own.public:", "if False:", SECAGG),
    (
        "strategies/secagg.py",
        "if len(others) > self.degree(me.cohort):",
        "if False:",
        "tests/strategies/test_secagg_plus.py",
    ),
    ("strategies/secagg.py", "if len(publics) + 1 < least:", "if False:", SECAGG),
    ("strategies/secagg.py", "if len({own.public, *publics.values()}) <= len(publics):", "if False:", SECAGG),
    (
        "fedsec/protocol/consistency.py",
        "        return False\n    return True",
        "        return True\n    return True",
        SECAGG,
    ),
    ("strategies/secagg.py", "if len(shares) < least:", "if False:", SECAGG),
    ("strategies/secagg.py", "        if strangers:", "        if False:", SECAGG),
    ("fedsec/protocol/consistency.py", "if me.id not in survivors or", "if", SECAGG),
    ("fedsec/protocol/consistency.py", "if me.id not in survivors or", "if", SIGNED),
    ("fedsec/protocol/consistency.py", "or len(survivors & me.cohort) < least:", ":", SECAGG),
    ("fedsec/protocol/consistency.py", "len(survivors & me.cohort)", "len(survivors)", SIGNED),
    ("fedsec/protocol/consistency.py", "if signed != survivors:", "if False:", SECAGG),
    ("fedsec/protocol/consistency.py", "if signed != survivors:", "if False:", SIGNED),
    ("fedsec/protocol/consistency.py", "if len(agreed) < needed:", "if False:", SECAGG),
    ("fedsec/protocol/consistency.py", "if len(agreed) < needed:", "if False:", SIGNED),
    ("fedsec/protocol/consistency.py", "if holds(me, party, statement, signatures[party])", "", SECAGG),
    *[
        ("strategies/secagg.py", check, instead, MASKS)
        for check, instead in [
            ("if _usable(key.public) and (yield", "if (yield"),
            (" and (yield from verify(party, OwnMaskKey(key.public), key.signature)):", ":"),
            (" if owners[key.public] == 1}", "}"),
            ("return reply.outbox.keys() == near[party] - {party}", "return True"),
            (" if not _fits(reply, partners[party], ring)}", " if False}"),
            (" and _undoes(reply, requests[party].closed):", ":"),
            (" and _fits(reply, left, ring):", ":"),
            ("return reply.partners == partners and ", "return "),
            (" and reply.vector.dtype == ring.dtype", ""),
            (" and reply.vector.ndim == 1", ""),
            (" and all(len(seed) == SEED_BYTES for seed in reply.seeds.values())", ""),
            (" if (reply.context, reply.vector.size) == common", ""),
            ("right = reply.seeds.keys() == neighbours[party] and ", "right = "),
            (" and reply.keys.keys() == dropped", ""),
            ("return right and _are_shares(shares)", "return right"),
            ("return all(len(share) == SHARE_BYTES for share in shares)", "return True"),
            ('M61.load(body, SECRETS * LIMBS, "shares")', "pass"),
        ]
    ],
    *[
        ("strategies/secagg.py", check, instead, REOPENED)
        for check, instead in [
            ("most = self.openable(me.cohort)", "most = len(me.cohort)"),
            ("    if values != SECRETS:", "    if False:"),
            (" or not (state.masked or isinstance(state, Complained)):", ":"),
            ("        if unmasked:", "        if False:"),
            ("(state.shares.keys() - {me.id})", "state.shares.keys()"),
            ("            if not without:", "            if False:"),
            ("            self._check_enough(me, shares)\n            return replace", "            return replace"),
            ("return replace(state, shares=shares), PairMasks(without)", "return state, PairMasks(without)"),
            ("bodies.keys() & state.keys.keys() - state.shares.keys()", "bodies.keys() & state.keys.keys()"),
            ("if not state.masked or state.shares is None:", "if state.shares is None:"),
        ]
    ],
    (
        "strategies/secagg.py",
        ", self.shares_needed(clients) - 1)",
        ", len(clients))",
        "tests/strategies/test_secagg_plus.py",
    ),
    (DISPUTE, "        and values in (None, complaint.values)\n", "", MASKS),
    (DISPUTE, "closed = accused - (reopened.keys() - false)", "closed = accused - reopened.keys()", MASKS),
    ("fedsec/server/coordinator.py", "return member is not None", "return True", SIGNATURES),
    (
        "fedsec/server/coordinator.py",
        "except AuthenticationError:\n            return False",
        "except AuthenticationError:\n            return True",
        SIGNATURES,
    ),
    (
        "fedsec/protocol/consistency.py",
        "for party in survivors & signatures.keys()",
        "for party in signatures.keys()",
        SECAGG,
    ),
    ("fedsec/party/policy.py", "if promised < 0:", "if False:", "tests/party/test_party_enrolment.py"),
    ("fedsec/party/policy.py", ", floor - 2)", ", 99)", "tests/party/test_party_enrolment.py"),
    (
        "strategies/secagg.py",
        " for party, share in shares.items() if party not in survivors}",
        " for party, share in shares.items()}",
        SECAGG,
    ),
    ("strategies/secagg.py", "!= shared[party].commitment:", "!= shared[party].commitment and False:", SECAGG),
    ("strategies/secagg.py", "if key.public != keys[dropped].public:", "if False:", SECAGG),
    (
        "strategies/secagg.py",
        "if self.server == ServerModel.MALICIOUS and 3 * needed <= 2 * parties:",
        "if False:",
        SECAGG,
    ),
    ("strategies/secagg.py", "if 2 * needed <= parties:", "if False:", SECAGG),
    ("strategies/additive.py", "if len(seeds) < me.floor:", "if False:", FEW),
    ("strategies/additive.py", "if me.id not in self.chosen(me.cohort):", "if False:", FEW),
    ("strategies/additive.py", "if length > MAX_VALUES:", "if False:", FEW),
    ("strategies/additive.py", "if sets[included] < len(chosen):", "if False:", FEW),
    ("strategies/additive.py", "sums, chosen, alike=split)", "sums, chosen)", FEW),
    ("strategies/additive.py", " if reply.included <= masked.keys()}", "}", OMITTED),
    ("strategies/additive.py", "return reply.seeds.keys() == set(self.chosen(clients))", "return True", OMITTED),
    ("strategies/shamir.py", "return reply.outbox.keys() == set(clients) - {party}", "return True", OMITTED),
    ("strategies/lightsecagg.py", " and reply.outbox.keys() == set(clients) - {party}", "", OMITTED),
    ("strategies/_sum_of_shares.py", "needed, held, senders,", "needed, agreeing, senders,", OMITTED),
    *[
        (DISPUTE, check, instead, OMITTED)
        for check, instead in [
            (" if possible(party, answer)}", "}"),
            ("if len(kept) < at_least:", "if False:"),
            ("kept, requests).proving(false)", "kept, requests)"),
            ("error.proving(error.false | false)", "pass"),
            ("return replace(found, false=found.false | false)", "return found"),
        ]
    ],
    ("strategies/shamir.py", "if len(shares) < me.floor:", "if False:", SHAMIR),
    ("strategies/shamir.py", "if needed < least:", "if False:", ALL),
    ("strategies/_sum_of_shares.py", "if (answer.included, answer.values) == (included, values)", "", SHAMIR),
    ("strategies/_sum_of_shares.py", "answer.prime_bits == field.bits", "True", FALSE),
    ("strategies/_sum_of_shares.py", "and answer.share.shape == (columns_of(answer.values, pack),)", "", FALSE),
    ("strategies/_sum_of_shares.py", "and party in answer.included", "", FALSE),
    ("strategies/_sum_of_shares.py", "and answer.included <= set(senders)", "", FALSE),
    ("strategies/_sum_of_shares.py", "and len(answer.included) >= floor", "", FALSE),
    (
        "strategies/_sum_of_shares.py",
        "included, frozenset(false), opened.off)",
        "included, frozenset(false) | opened.off, opened.off)",
        FALSE,
    ),
    ("fedsec/primitives/robust.py", "            if column is None:", "            if True:", FALSE),
    ("fedsec/primitives/robust.py", "if largest >= field.p:", "if False:", ROBUST),
    ("fedsec/primitives/robust.py", "expand(seed)", "expand(bytes(32))", ROBUST),
    ("fedsec/primitives/robust.py", "{31: 2, 61: 1}", "{31: 1, 61: 1}", ROBUST),
    ("fedsec/primitives/robust.py", "<= room - (len(points) - len(trusted)):", "<= len(points):", ROBUST),
    ("fedsec/primitives/robust.py", "if len(off) == length <= radius(len(points), threshold)", "if True", ROBUST),
    ("fedsec/server/averaging.py", "sorted(set(cohort) - false)", "sorted(set(cohort))", FALSE),
    ("fedsec/server/averaging.py", "sorted(cohort) if self.whole else ", "", FALSE),
    ("fedsec/server/averaging.py", "return asked if self.whole else ", "return ", FALSE),
    ("fedsec/server/coordinator.py", " if party not in self._unasked}", "}", SERVER),
    ("fedsec/server/coordinator.py", "if len(false) > tolerated:", "if False:", SERVER),
    ("fedsec/flower/server.py", 'owner.agreement is not None and owner.agreement.cohort == "all"', "False", UNASKED),
    ("strategies/lightsecagg.py", "if len(pieces) < me.floor:", "if False:", FEW),
    ("strategies/lightsecagg.py", "if private < parties // 2:", "if False:", ALL),
    (
        "strategies/lightsecagg.py",
        "if self.server == ServerModel.MALICIOUS and needed < quorum(parties):",
        "if False:",
        ALL,
    ),
    (
        "strategies/lightsecagg.py",
        "        if self.server == ServerModel.MALICIOUS:\n            consistency.check(",
        "                if False:",
        SIGNED,
    ),
    ("strategies/lightsecagg.py", "consistency.admit(me, survivors,", "(lambda *_: 0)(me, survivors,", SIGNED),
    (
        "strategies/shamir.py",
        "        if self.server == ServerModel.MALICIOUS:\n            consistency.check(",
        "                if False:",
        SIGNED,
    ),
    ("strategies/shamir.py", "consistency.admit(me, survivors,", "(lambda *_: 0)(me, survivors,", SIGNED),
    ("strategies/lightsecagg.py", " if reply.vector.size == size}", "}", FEW),
    *[
        (DISPUTE, check, instead, COMPLAINTS)
        for check, instead in [
            ("if party != me.id and _believed", "if _believed"),
            ("if not sealed or not sealed.keys()", "if not sealed.keys()"),
            ("== request.signatures.keys() == request.values.keys():", "== request.signatures.keys():"),
            ("if len(sealed) > most:", "if False:"),
            ("if strangers := sealed.keys() - (me.cohort - {me.id}):", "if strangers := ():"),
            ("            me.verify(receiver, statement, request.signatures[receiver])\n", ""),
            ("            check(me.id, receiver, bodies[receiver], request.values[receiver])\n", ""),
            (", Opening(me.id, _digest(body)),", ", Opening(1, _digest(body)),"),
            ("and holds(me, sender, Opening(me.id, _digest(body)), openings[sender])", ""),
            ("        bool(complaint.digests)\n        and ", "        "),
            ("complaint.digests.keys() == complaint.signatures.keys()", "True"),
            ("relayed.keys() - {party}", "relayed.keys() | {party}"),
            ("digest == _digest(relayed[accused])", "True"),
            ("verify(party, statement, complaint.signatures[accused])):", 'verify(party, statement, b"")) and False:'),
            ("if not answer.bodies.keys() == answer.signatures.keys() == receivers.keys():", "if False:"),
            (
                "        except BadMessage:\n            return False",
                "        except BadMessage:\n            return True",
            ),
            ("verify(sender, opening, answer.signatures[receiver])):", 'verify(sender, opening, b"")) and False:'),
        ]
    ],
    ("strategies/shamir.py", "if isinstance(state, Complained)", "if state is not None", COMPLAINTS),
    ("strategies/lightsecagg.py", "if isinstance(state, Complained)", "if state is not None", COMPLAINTS),
    ("strategies/additive.py", "if isinstance(state, Complained)", "if True", COMPLAINTS),
    (DISPUTE, " and _believed(me, party)}", "}", "tests/strategies/test_forged_members.py"),
    (
        "strategies/secagg.py",
        "_without(given, heard.closed) for party",
        "dict(given) for party",
        "tests/strategies/test_masks_disputed.py",
    ),
    (
        "fedsec/data/preparation.py",
        "suspicion.flags(table, least)",
        "suspicion.flags(table)",
        "tests/data/test_suspicion.py",
    ),
    (
        "fedsec/party/context.py",
        'receiver, f"seal from {self.id}")\n        return unseal',
        'receiver, "")\n        return unseal',
        COMPLAINTS,
    ),
    ("fedsec/party/journal.py", "if known and phase <= self.phase:", "if False:", SECAGG),
    ("fedsec/party/journal.py", "if session.counter < self.counter:", "if False:", PARTY),
    ("fedsec/party/journal.py", "if session.counter == self.counter and not known:", "if False:", PARTY),
    ("fedsec/wire/envelope.py", "[session.binding, sender, said.tag, body]", "[sender, said.tag, body]", SECAGG),
    ("fedsec/party/context.py", 'sha256(b"fedsec context" + session.binding)', 'sha256(b"fedsec context")', CONTEXT),
    ("fedsec/flower/app_reply.py", "if plan.model != content_hash(asked.message.content):", "if False:", GLUE),
    ("fedsec/flower/app_reply.py", "if session.stage != asked.message.metadata.message_type:", "if False:", GLUE),
    ("fedsec/party/party.py", "if session.model != plan_hash(header.plan):", "if False:", PLAN),
    (
        "fedsec/encoding/ladder.py",
        "if (self.largest, self.typical) != (before.largest, before.typical):",
        "if 0:",
        PLAN,
    ),
    ("fedsec/encoding/ladder.py", "if self.counts[: len(before.counts)] != before.counts:", "if False:", PLAN),
    ("fedsec/encoding/ladder.py", "if self.measuring and self.largest:", "if False:", PLAN),
    ("fedsec/encoding/ladder.py", "if sizes not in ({0}, {rungs}) or any(", "if any(", PLAN),
    ("fedsec/encoding/plausible.py", "if largest > limit:", "if False:", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", "if number > addends:", "if False:", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", "if sum(counts.values()) > addends:", "if False:", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", "if coarse > sum(sizes):", "if False:", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", "if not 0 < total <= addends * heaviest * steps:", "if False:", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", 'if rule == "equal" and', "if False and", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", 'if rule == "powers-of-two" and', "if False and", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", "        if beyond:", "        if False:", PLAUSIBLE),
    ("fedsec/encoding/plausible.py", "if norm > limit * (1 + RELATIVE)", "if limit < 0", PLAUSIBLE),
    ("fedsec/encoding/mean.py", "        bounds.add(each.name, mean, spec.bound_of(each.name))\n", "", PLAUSIBLE),
    ("fedsec/encoding/mean.py", "    bounds.check_norms()\n", "", PLAUSIBLE),
    ("fedsec/encoding/mean.py", "    plausible.check_sums(total.vector, addends, bits)\n", "", PLAUSIBLE),
    ("fedsec/encoding/mean.py", "    plausible.check_bands(bands, unusable, addends)\n", "", PLAUSIBLE),
    ("fedsec/encoding/mean.py", "plausible.check_weight(weight", "(lambda *_: None)(weight", PLAUSIBLE),
    (
        "fedsec/encoding/mean.py",
        "check_histograms(largest, typical, unusable, addends)",
        "check_counts({}, 0)",
        PLAUSIBLE,
    ),
    ("fedsec/encoding/mean_spec.py", "return GRID if known else None", "return None", SHARES),
    ("fedsec/encoding/mean_spec.py", "if grid is None else 1 / (grid * self._unit)", "", SHARES),
    ("fedsec/learning/auc.py", "whole = len(target) if shares else 1", "whole = len(target)", SHARES),
    ("fedsec/app/client_app.py", "shares=not config.equal_weights", "shares=True", SHARES),
    (
        "fedsec/app/client_app.py",
        "    if config.equal_weights:\n        metrics |= {",
        "    if False:\n        metrics |= {",
        SHARES,
    ),
    (
        "fedsec/app/client_app.py",
        "totals(mine, least) if config.equal_weights else statistics(mine, least)",
        "statistics(mine, least)",
        SHARES,
    ),
    (
        "fedsec/data/table_cells.py",
        "small = counts < least\n    return",
        "small = counts < 0\n    return",
        "tests/disclosure/test_least_cell.py",
    ),
    ("fedsec/data/table_one.py", "    if not holds:\n", "    if False:\n", "tests/data/test_table_one.py"),
    (
        "fedsec/data/preparation.py",
        "not _parts(value, wholes.get(key, rows), rows * _SLACK)",
        "False",
        "tests/data/test_hospital_data.py",
    ),
    ("fedsec/encoding/mean_spec.py", "-len(entry[0]), ", "", "tests/encoding/test_mean.py"),
    ("fedsec/agreement/proposal.py", "if count - lost < agreement.floor:", "if False:", EXPLANATION),
    ("fedsec/flower/client.py", "if time.monotonic() - started > message.metadata.ttl:", "if False:", GLUE),
    ("fedsec/flower/client.py", "    mod_order.check(secure_aggregation)\n", "", "tests/flower/test_mod_order.py"),
    (ADMIT, "if agreement.fedsec != fedsec.__version__:", "if False:", NODES),
    (ADMIT, "if named != agreement.hash:", "if False:", NODES),
    (ADMIT, "if type(offered) is not type(agreed):", "if False:", NODES),
    (ADMIT, "if ours[key] != theirs[key]:", "if False:", NODES),
    (ADMIT, "if getattr(mean, each.name) != getattr(expected, each.name):", "if False:", NODES),
    (ADMIT, "    if strangers:", "    if False:", ADMISSION),
    (ADMIT, 'if agreement.cohort == "all" and len(roster) < len(agreement.keys):', "if False:", NODES),
    (ADMIT, 'if agreement.cohort == "all" and set(cohort) != set(roster):', "if False:", NODES),
    (ADMIT, "if agreed is None:", "if False:", NODES),
    (ADMIT, "if plan is None:", "if False:", ADMISSION),
    (ADMIT, "    if plan.measuring:", "if False:", ADMISSION),
    (ADMIT, "if plan.layout and plan.layout != agreement.layouts[stage]:", "if False:", ADMISSION),
    (ADMIT, "if type(ours) is not type(theirs) or ours != theirs:", "if False:", NODES),
    (ADMIT, "if type(ours) is not type(theirs) or ours", "if ours", ADMISSION),
    (ADMIT, "if found != agreement.bundle:", "if False:", NODES),
    (ADMIT, "if found and not _covers(found, expected):", "if False:", NODES),
    (ADMIT, "if not abs(value) <= agreement.largest_parameter:", "if False:", NODES),
    (ADMIT, "if layout != agreement.layouts[stage]:", "if False:", ADMISSION),
    ("fedsec/agreement/approval.py", "if approved != agreement.hash:", "if False:", NODES),
    (
        "fedsec/agreement/approval.py",
        "if identity != key.public:",
        "if False:",
        "tests/agreement/test_agreement_file.py",
    ),
    ("fedsec/party/policy.py", "admission.admit_roster(self.agreement, roster)", "pass", NODES),
    ("fedsec/party/party.py", "admission.admit_cohort(self.policy.agreement, cohort, roster.members)", "pass", NODES),
    (CLIENT, "admission.admit_configuration(agreement, context.run_config)", "pass", NODES),
    (CLIENT, "admission.admit_software(agreement)", "pass", NODES),
    (CLIENT, "admission.admit_bundle(agreement, bundle.installed())", "pass", NODES),
    (
        CLIENT,
        "approval.check(agreement, SigningKey(party.state.identity), approval.path_beside(Path(agreement_file)))",
        "pass",
        NODES,
    ),
    ("fedsec/party/journal.py", "if answers > allowance.limit:", "if False:", NODES),
    ("fedsec/party/journal.py", '"INSERT INTO answers', '"INSERT OR REPLACE INTO answers', NODES),
    ("fedsec/wire/envelope.py", "verify(identity, self.signature, digest(self.head, self.body))", "pass", ALL),
    (BLUM, "if gmpy2.jacobi(w, n) != -1:", "if False:", PROOF),
    (BLUM, "if gmpy2.is_prime(n):", "if False:", PROOF),
    (BLUM, "if gmpy2.gcd(n, _small_primes()) != 1:", "if False:", PROOF),
    (BLUM, "if gmpy2.gcd(total, n) != 1:", "if False:", PROOF),
    (BLUM, "if not all(0 < number < n for number in numbers):", "if False:", PROOF),
    (BLUM, "if gmpy2.powmod(x, 4, n) not in _candidates(y, w, n):", "if False:", PROOF),
    (BLUM, "if gmpy2.powmod(z, n, n) != y:", "if False:", PROOF),
    (BLUM, "    verify(n, proof, context)\n    return proof", "    return proof", PROOF),
    (BLUM, "hashlib.sha256(context).digest() + numbers", "numbers", PROOF),
    ("strategies/paillier.py", "blum_modulus.verify(n, proof, context)", "pass", KEY),
    ("strategies/paillier.py", "if len(sent) != expected:", "if False:", KEY),
    (HOLDER, "me.context + me.identity(self.key_holder)", "me.context", KEY),
    (HOLDER, "me.context + me.identity(self.key_holder)", "me.identity(self.key_holder)", KEY),
    (HOLDER, "me.verify(self.key_holder, request.key, request.signature)", "pass", KEY),
    ("fedsec/party/party.py", "        self._believe(received)\n", "", VERIFY),
    ("fedsec/party/party.py", 'self.policy.admit_server(b"")', "pass", VERIFY),
    ("fedsec/party/party.py", "            received.check(offer.server)", "            pass", VERIFY),
    (
        "fedsec/party/party.py",
        "codec.decode(received.body, Enrol, caps.OFFER)",
        "codec.decode(received.body, Enrol)",
        VERIFY,
    ),
    (
        "fedsec/party/party.py",
        "codec.decode(received.body, Message, most)",
        "codec.decode(received.body, Message)",
        VERIFY,
    ),
    ("fedsec/party/party.py", "        if size > most:", "        if False:", VERIFY),
    (
        "fedsec/party/party.py",
        'if session.stage != envelope.SETUP:\n            raise OutOfPhase(f"an offer',
        'if False:\n            raise OutOfPhase(f"an offer',
        ENROLMENT,
    ),
    (
        "fedsec/party/party.py",
        'if session.stage != envelope.SETUP:\n            raise OutOfPhase(f"a roster',
        'if False:\n            raise OutOfPhase(f"a roster',
        ENROLMENT,
    ),
    (
        "fedsec/server/coordinator.py",
        "received.check(joined.member.identity if joined else self._lead.roster[party].identity)",
        "pass",
        VERIFY,
    ),
    ("fedsec/server/coordinator.py", "Message, self._most(requests[party]))", "Message)", VERIFY),
    ("fedsec/server/coordinator.py", "Enrolled, caps.ENROLLED)", "Enrolled)", VERIFY),
    ("fedsec/wire/caps.py", "(place == first and not reply):", "False:", VERIFY),
    ("fedsec/wire/codec.py", "        if count > self._left:", "        if False:", LIMITS),
    ("fedsec/wire/codec.py", "        self._left -= count", "        pass", LIMITS),
    ("fedsec/wire/codec.py", "            max_array_len=0,", "            max_array_len=1 << 30,", LIMITS),
    ("fedsec/wire/codec.py", "            max_map_len=0,", "            max_map_len=1 << 30,", LIMITS),
    ("fedsec/wire/codec.py", "            max_str_len=MAX_TEXT,", "            max_str_len=1 << 30,", LIMITS),
    ("fedsec/wire/codec.py", "    except RecursionError as error:", "    except ZeroDivisionError as error:", LIMITS),
    ("fedsec/wire/membership.py", "[party, epoch.run, ", "[party, ", ENROLMENT),
    ("fedsec/wire/membership.py", "epoch.server, epoch.number", "epoch.number", ENROLMENT),
    ("fedsec/party/context.py", "sender, receiver, phase, kind])", "sender, receiver, kind])", CONTEXT),
    ("fedsec/party/context.py", "sender, receiver, phase, kind])", "sender, receiver, phase])", CONTEXT),
    (
        "fedsec/errors.py",
        'return "" if any(said in text for said in _foreign_texts(self)) else text',
        "return text",
        SERVER,
    ),
    ("fedsec/errors.py", 'public=f"{name} is not a path"', "", REFUSALS),
    ("fedsec/flower/client.py", ', public=f"{key} has another value {expected}"', "", REFUSALS),
    (AGREED, "if named != agreement.hash:", "if False:", "tests/agreement/test_admission.py"),
    (
        "fedsec/party/party.py",
        "            admission.admit_named(self.policy.agreement, terms.agreement)",
        "            pass",
        TWICE,
    ),
    (AGREED, "if array.dtype.kind not in NUMBERS:", "if False:", "tests/agreement/test_admission.py"),
    ("fedsec/flower/app_reply.py", "except BaseException as error:", "except Exception as error:", ROWS),
    (AGREED, "if getattr(mean, each.name) != getattr(expected, each.name):", "if False:", TERMS),
    (AGREED, "if ours[key] != theirs[key]:", "if False:", TERMS),
    (AGREED, "if plan.layout and plan.layout != agreement.layouts[stage]:", "if False:", TERMS),
    (AGREED, 'if agreement.cohort == "all" and set(cohort) != set(roster):', "if False:", TWICE),
    (AGREED, "if type(ours) is not type(theirs) or ours != theirs:", "if False:", CONFIGURED),
    (AGREED, "if found != agreement.bundle:", "if False:", CONFIGURED),
    (AGREED, "if not abs(value) <= agreement.largest_parameter:", "if False:", ROWS),
    (
        "fedsec/agreement/approval.py",
        "if agreement.encoding.spec.measured and any(map(trains, agreement.stages)):",
        "if False:",
        "tests/agreement/test_agreement_file.py",
    ),
    ("fedsec/party/journal.py", "if answers > allowance.limit:", "if False:", TWICE),
    ("fedsec/party/journal.py", '"INSERT INTO answers', '"INSERT OR REPLACE INTO answers', TWICE),
    ("fedsec/party/party.py", "if len(cohort) != len(session.cohort) or not cohort", "if not cohort", HOSTILE),
    ("fedsec/party/party.py", "if self._journal is not None:", "if False:", HOSTILE),
    ("fedsec/flower/client.py", "said = notes if party.policy.simulation else {}", "said = notes", ROWS),
    ("fedsec/flower/app_reply.py", "if layout is None and not plan.measuring:", "if True:", ROWS),
    ("fedsec/app/own_rows.py", "None if context.node_config.get(DATA) else context", "context", CONFIGURED),
    ("fedsec/encoding/wide.py", "np.rint(values * factor)", "np.rint(values) * factor", WEIGHED),
    ("fedsec/encoding/mean.py", '    if spec.weights == "equal":\n        return 1.0\n', "", WEIGHED),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and its tests, apart from the checkout; they pass there as they stand."""
    place = tmp_path_factory.mktemp("copy")
    for name in ("fedsec", "strategies", "simulations", "tests", "docs/examples"):
        shutil.copytree(ROOT / name, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / name)
    tests = sorted({test for *_, test in CHECKS})
    result = run(place, *tests)
    assert result.returncode == 0, result.stdout[-4000:]
    return place


def run(place: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not campaign", *tests]
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("file", "check", "instead", "test"), CHECKS, ids=[f"{file}: {check.strip()[:60]}" for file, check, *_ in CHECKS]
)
def test_without_a_check_the_tests_fail(copy: Path, file: str, check: str, instead: str, test: str) -> None:
    path = copy / file
    before = path.read_text(encoding="utf-8")
    assert before.count(check) == 1, f"{file} has {before.count(check)} of {check!r}"
    path.write_text(before.replace(check, instead), encoding="utf-8")
    try:
        result = run(copy, test)
    finally:
        path.write_text(before, encoding="utf-8")
    assert result.returncode == 1, f"nothing failed without {check!r}:\n{result.stdout[-2000:]}"


def test_every_check_is_where_the_campaign_looks_for_it() -> None:
    for file, check, *_ in CHECKS:
        assert (ROOT / file).read_text(encoding="utf-8").count(check) == 1, f"{file}: {check}"
