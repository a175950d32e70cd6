import type { Command } from 'commander';
import { addClaimsDdl } from './claims-ddl.ts';
import { addClaimsDoctor } from './claims-doctor.ts';
import { addClaimsList } from './claims-list.ts';
import { addClaimsWork } from './claims-work.ts';

export function addClaims(program: Command): void {
  const claims = program
    .command('claims')
    .description('Claims on rows of your own tables: what they need, how they fare, and workers for them.');
  for (const add of [addClaimsList, addClaimsDdl, addClaimsDoctor, addClaimsWork]) add(claims);
}
