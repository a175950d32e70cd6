import type { Findings } from './script.ts';

/** What a test has done and seen, for people: one line. */
export function tell(figures: Findings['figures']): void {
  console.info(
    Object.entries(figures)
      .map(([name, value]) => `${name}: ${value}`)
      .join(', '),
  );
}

const { FENCEPOST_LAB_ROUNDS: labRounds, FENCEPOST_LAB_SECONDS: labSeconds } = process.env;

/** How often a test does something: as said here, unless somebody runs the lab with `--rounds`. */
export const rounds = (usual: number): number => Number(labRounds || usual);

/** How long a test goes on, in seconds, unless somebody runs the lab with `--seconds`. */
export const seconds = (usual: number): number => Number(labSeconds || (labRounds ? 86_400 : usual));

/**
 * The time that a test has, in milliseconds, on a machine that does little else; it is ended when it has taken three
 * times as long. Any time, when somebody has asked for a long one.
 */
export const within = (usual: number): { timeout: number } => ({
  timeout: !labRounds && !labSeconds ? 3 * usual : 86_400_000,
});
