"""The default policy as people would write it, with tests: where every network begins.

Touches: nothing.
"""

DEFAULT_TEXT = """\
# Who may run what, on which devices, with which data. What no grant allows is denied.
# Two rules stand above every grant: your own devices take your own work, and sensitive data of
# others goes only to an admin's device. Fields and words: docs/policy.md
version: 1
grants:
  - name: members share their devices
    role: [admin, member]
    sensitivity: [public, private]
    owner_role: [admin, member]
  - name: guests' devices get public data
    role: [admin, member]
    sensitivity: public
  - name: guests run public data
    role: guest
    sensitivity: public
  - name: admins' sensitive data stays with admins
    role: admin
    sensitivity: sensitive
    owner_role: admin
    phones: never
  - name: members name an admin's device for sensitive data
    role: member
    sensitivity: sensitive
    owner_role: admin
    named: true
    phones: never
tests:
  - {name: members share, role: member, sensitivity: private, owner_role: member, expect: allow}
  - {name: guests stay public, role: guest, sensitivity: private, owner_role: member, expect: deny}
  - {name: guests may use public data, role: guest, sensitivity: public, owner_role: member, expect: allow}
  - {name: sensitive stays with admins, role: admin, sensitivity: sensitive, owner_role: member, expect: deny}
  - {name: no phone for secrets, role: admin, sensitivity: sensitive, owner_role: admin, phone: "yes", expect: deny}
"""
