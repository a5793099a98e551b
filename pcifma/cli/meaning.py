"""What an error bit means, in one line for somebody who has to act on it. By ereport class, the longest beginning that is known."""

from __future__ import annotations

_MEANINGS = {
    "io.pciex.pl.re": "the receiver could not make sense of what came over the wire: link, riser, or the other end's transmitter",
    "io.pciex.pl.te": "the link could not be trained (PCIe 1.0a); undefined since",
    "io.pciex.pl": "the physical layer saw signals that it had to repair or reject: look at this link, lane by lane",
    "io.pciex.dl.btlp": "a packet arrived with a wrong checksum or number and was sent again: this link, towards this port",
    "io.pciex.dl.bdllp": "a link management packet arrived damaged and was dropped: this link, towards this port",
    "io.pciex.dl.rnr": "one packet was sent four times without success and the link retrained: this link, away from this port",
    "io.pciex.dl.rto": "no acknowledgement came in time and packets were sent again: this link, away from this port",
    "io.pciex.dl.dllp": "the other end broke the rules of the data link layer: link or a faulty end",
    "io.pciex.dl.sd": "the link went down without being shut down first: power, seating, reset, a dead device, or a pulled one",
    "io.pciex.tl.ptlp": "data arrived that its sender had marked as bad; look for the error that the sender saw first",
    "io.pciex.tl.fcp": "the other end broke flow control: a faulty end, or firmware",
    "io.pciex.tl.cto": "a request of this Function got no answer: whatever it asked is dead, slow or cut off",
    "io.pciex.tl.ca": "this Function was asked for something that it could not do",
    "io.pciex.tl.uc": "an answer came that nobody had asked for",
    "io.pciex.tl.rof": "more data came than this Function had room for: a faulty end",
    "io.pciex.tl.mtlp": "a packet broke the format rules: a faulty sender, or settings (payload size) that do not match",
    "io.pciex.tl.ecrc": "a packet was damaged between its source and its destination, inside a switch rather than on one link",
    "io.pciex.tl.ur": "a request came that this Function does not support; probing does this, and so does a driver with a wrong address",
    "io.pciex.tl.acsv": "access control stopped a request that isolation between devices does not allow",
    "io.pciex.tl.mcb": "a multicast packet was stopped by this port's settings",
    "io.pciex.tl.aob": "an atomic operation was stopped by this port's settings",
    "io.pciex.tl.tpb": "a packet with prefixes was stopped by this port's settings",
    "io.pciex.tl.peb": "data marked as bad was stopped at this port, as it is set up to do",
    "io.pciex.tl.dmwb": "a deferrable write was stopped by this port's settings",
    "io.pciex.tl.pcrc": "a packet under encryption failed its plain checksum",
    "io.pciex.tl.xlb": "a translated request was stopped by this port's settings",
    "io.pciex.tl.hlo": "an error's header was lost, since the log still held an earlier one",
    "io.pciex.ide": "link encryption found a packet that it must not trust",
    "io.pciex.int.ue": "the device found an error of its own that it could not repair",
    "io.pciex.int.ce": "the device found an error of its own and repaired it",
    "io.pciex.a-nonfatal": "an uncorrectable error that the device leaves to others to judge; the uncorrectable status says which",
    "io.pciex.correctable": "the device repaired an error; no register says which",
    "io.pciex.nonfatal": "a request was lost, the link still works; no register says why",
    "io.pciex.fatal": "the link or device can no longer be relied on; no register says why",
    "io.pciex.epr": "power supply asked the device to save power in an emergency",
    "io.pciex.rc.ce-msg": "a device below reported a repaired error",
    "io.pciex.rc.mce-msg": "more repaired errors were reported before the first was handled",
    "io.pciex.rc.ue-msg": "a device below reported an error that was not repaired",
    "io.pciex.rc.mue-msg": "more uncorrected errors were reported before the first was handled",
    "io.pciex.rc.ffe-msg": "the first uncorrected error reported was a fatal one",
    "io.pciex.rc.nfe-msg": "a device below reported a lost request; the link still works",
    "io.pciex.rc.fe-msg": "a device below reported that its link or itself can no longer be relied on",
    "io.pciex.dpc": "the port cut off everything below it to contain an error",
    "io.pciex.rp-pio.cfg-ur": "a configuration request of the processor was not supported below this port",
    "io.pciex.rp-pio.io-ur": "an I/O request of the processor was not supported below this port",
    "io.pciex.rp-pio.mem-ur": "a memory request of the processor was not supported below this port",
    "io.pciex.rp-pio": "a request of the processor failed below this port",
    "io.pciex.slot.pf": "the slot's power controller saw a fault",
    "io.pciex.doe": "the data object mailbox reported an error",
    "io.pciex.pri": "a page request of the device could not be served as it was made",
    "io.pciex.bdg": "the bridge saw an error on its conventional side",
    "io.pciex.eeh.frozen": "the machine cut this device off to contain an error; the driver may bring it back",
    "io.pciex.eeh.fenced": "the machine cut a whole host bridge off to contain an error, and everything below it",
    "io.pciex.eeh.dead": "a host bridge does not work any more, nor anything below it",
    "io.pciex.eeh.failed": "the kernel gave this device up after repeated or failed recoveries: reseat or replace it",
    "io.pciex.eeh": "the host bridge logged an error that stopped nothing",
    "io.pciex.unknown": "a bit is set that no table names",
    "io.pci.dpe": "data arrived with a wrong parity, whoever is to blame for it",
    "io.pci.mdpe": "a transfer that this Function took part in as master had a parity error",
    "io.pci.sserr": "this Function signaled a system error, or sent an error message",
    "io.pci.ma": "a request of this Function found nobody; probing does this",
    "io.pci.rta": "a request of this Function was refused by its target",
    "io.pci.sta": "this Function refused a request",
    "io.pci.dto": "a delayed answer was never fetched and was thrown away",
    "io.pci.sec-dpe": "data arrived on the bridge's far side with a wrong parity",
    "io.pci.sec-mdpe": "a transfer that the bridge drove on its far side had a parity error",
    "io.pci.sec-rserr": "a device on the bridge's far side signaled a system error",
    "io.pci.sec-ma": "a request passed on to the far side found nobody; probing does this",
    "io.pci.sec-rta": "a request passed on to the far side was refused by its target",
    "io.pci.sec-sta": "the bridge refused a request from its far side",
    "io.pci.unknown": "a bit is set that no table names",
    "io.pcix": "a split transaction was lost, late or unexpected",
    "io.ht": "a HyperTransport link saw an error",
    "io.hb.unknown": "a bit is set that no table names",
    "io.hb": "the host bridge's own record; where it names a port or bus, look there for the error itself",
    "memory.ce": "memory was corrected: this module; how often, and whether at one address, decides",
    "memory.ue": "memory could not be corrected: data is lost, this module",
    "io.cxl": "the CXL side of the device is not in order",
}


# Of processors: what a leaf has in it, the special before the general; whose processor it is does not matter.
_PROCESSOR = (
    ("mem_ce", "memory was corrected: this DIMM; how often, and whether at one address, decides"),
    ("mem_ue", "memory could not be corrected: data is lost, this DIMM"),
    ("mem_", "the memory controller: its redundancy, addresses or parity"),
    ("ext_mc", "memory used as a cache: its controller"),
    ("tlb_uc", "a table of address translations could not be corrected: this processor"),
    ("tlb", "a table of address translations was corrected: this processor, if it goes on"),
    ("cache_uc", "a cache held data that could not be corrected: this processor"),
    ("cache", "a cache corrected data: this processor, if it goes on"),
    ("interconnect", "a transfer between processors, memory and I/O failed: either end, or what lies between"),
    ("internal_timer", "the processor waited too long for something: often a device or memory that does not answer"),
    ("internal", "the processor found an error of its own"),
    ("microcode_rom_parity", "the processor's microcode store failed"),
    ("frc", "two processors that check each other disagreed"),
    ("external", "something outside signaled a machine check by its pin"),
    ("io", "an I/O transaction failed: look at PCI Express"),
    ("mc", "memory, its controller or the channel between: the address or channel says where"),
    ("un", "the processor says that something is wrong, and not what"),
)


def meaning(class_: str) -> str:
    """One line for *class_* (`ereport.io.pciex.dl.btlp`), empty if nothing is known of its kind."""
    leaf = class_.removeprefix("ereport.")
    if leaf.startswith("cpu."):
        last = leaf.rpartition(".")[2]
        return next((text for part, text in _PROCESSOR if part in last), "")
    while leaf not in _MEANINGS:
        leaf, dot, _ = leaf.rpartition(".")
        if not dot:
            return ""
    return _MEANINGS[leaf]
