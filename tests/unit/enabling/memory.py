"""A cluster in memory: the unit tests' side of the contract."""

from swanherd_operator.controller.cluster import Away, Denied, Ref
from tests.unit.enabling.contract import generated


class MemoryCluster:
    """Objects by their place; it denies what it is told to, and is away for what it is told."""

    def __init__(self, *objects, version=(1, 30)):
        self.objects = {Ref.of(each): each for each in objects}
        self.told = []
        self.denied = ()
        self.away = ()
        self._version = version

    def version(self):
        return self._version

    def serves(self, version):
        return True

    def get(self, ref):
        return self.objects.get(ref)

    def apply(self, wanted, *, rehearse=False):
        ref = Ref.of(wanted)
        if ref.kind in self.denied:
            raise Denied(f"{ref.kind}: exceeded quota")
        before = self.objects.get(ref, {})
        kept = {"status": before["status"]} if "status" in before else {}
        found = {**generated(wanted), **kept}
        if not rehearse:
            self.objects[ref] = found
        return found

    def apply_status(self, wanted):
        if "status" in self.away:
            raise Away("503")
        ref = Ref.of(wanted)
        self.objects[ref] = {**self.objects[ref], "status": wanted["status"]}

    def labelled(self, version, kind, namespace, label):
        wanted = dict(each.split("=", 1) for each in label.split(","))
        return [
            found
            for ref, found in self.objects.items()
            if (ref.version, ref.kind, ref.namespace) == (version, kind, namespace)
            and wanted.items() <= found["metadata"].get("labels", {}).items()
        ]

    def delete(self, ref):
        self.objects.pop(ref, None)

    def tell(self, about, reason, message):
        if "events" in self.away:
            raise Away("503")
        if (reason, message) not in self.told:
            self.told.append((reason, message))
