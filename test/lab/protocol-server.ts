import type { Grant } from '../../src/testing/memory/lease-table.ts';
import { MemoryServer } from '../../src/testing/memory/memory-server.ts';

export type { Reply } from '../../src/testing/memory/values.ts';

/** The server of the double in `fencepost/testing`, with a record of what it granted and which writes it accepted. */
export class ProtocolServer extends MemoryServer {
  readonly grants: Grant[];
  /** Writes that were accepted: what the guard let through. */
  readonly writes: { readonly key: string; readonly slot: number; readonly token: bigint }[] = [];
  refused = 0;

  constructor(now: () => number, tell: (message: string) => void) {
    const grants: Grant[] = [];
    super(now, tell, (grant) => grants.push(grant));
    this.grants = grants;
  }

  /** A transaction that writes under a lease; `guard: false`: without looking whether it is still the holder's. */
  write(name: string, token: bigint, guard: boolean): boolean {
    const row = this.leases.rows.find({ tenant: '', name }, 0);
    const current = row?.token === token && row.holder !== undefined;
    if (guard && !current) this.refused += 1;
    else this.writes.push({ key: name, slot: 0, token });
    return !guard || current;
  }

  /** The names of the leases that somebody holds now. */
  get held(): string[] {
    const { rows } = this.leases;
    return rows
      .all()
      .filter((row) => rows.isHeld(row))
      .map(({ resource }) => resource.name);
  }
}
