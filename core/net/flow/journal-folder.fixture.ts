// A folder for journals of flows, on a tmpfs as the real one's, and flows to write down.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseAddress } from '../address.ts'
import { MemoryDevice } from '../device/memory-device.fixture.ts'
import { parseMac } from '../gateway/gateway-identity.ts'
import { GuestPort } from '../guest-port.ts'
import { FlowJournal, type JournaledFlow, NO_SLOT } from './flow-journal.ts'
import { openJournalFile } from './flow-journal-file.ts'

export class JournalFolder implements Disposable {
  readonly folder = mkdtempSync('/dev/shm/journal-')
  readonly path = join(this.folder, 'net.sock.flows')
  readonly #open = new Set<FlowJournal>()

  /** The journal of an engine that starts now. The one before it was killed or ended. */
  open(recordCount?: number): FlowJournal {
    const journal = FlowJournal.open(openJournalFile(this.path), recordCount)
    this.#open.add(journal)
    return journal
  }

  /** What the file has now comes back with the next `open()`, whatever is written until then: a kill at this moment. */
  freeze(): () => void {
    const copy = join(this.folder, 'frozen')
    copyFileSync(this.path, copy)
    return () => copyFileSync(copy, this.path)
  }

  [Symbol.dispose](): void {
    for (const journal of this.#open) journal[Symbol.dispose]()
    rmSync(this.folder, { recursive: true })
  }
}

/** A guest with the `number`-th addresses, as EngineHarness.addGuest() makes it. */
export function journaledGuest(number: number): GuestPort {
  const hex = number.toString(16).padStart(2, '0')
  return new GuestPort({
    index: number,
    id: `guest-${number}`,
    name: `guest-${number}`,
    mac: parseMac(`00:16:3e:00:00:${hex}`),
    ipv4: parseAddress(`10.75.1.${number}`),
    ipv6: parseAddress(`fdd4:1476:6c7e::a4b:1${hex}`),
    mtu: 1500,
    configuration: 'static',
    mayMeetGuests: true,
    policy: { verdict: () => 'allowed' },
    device: new MemoryDevice(),
    inFlightLimitBytes: 1 << 20,
  })
}

/** A flow of the guest's from its port `guestPort` to port 80 of `remote`. */
export function journaledFlow(port: GuestPort, guestPort: number, remote = '192.0.2.1'): JournaledFlow {
  const [remote0, remote1, remote2, remote3] = parseAddress(remote)
  const key = { remote0, remote1, remote2, remote3, guestPort, remotePort: 80 }
  return { port, guestIndex: port.index, ...key, journalSlot: NO_SLOT }
}
