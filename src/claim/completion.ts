import { StaleTokenError } from '../core/errors.ts';
import type { Pending } from '../session/commands.ts';
import type { ClaimedKey } from '../sql/claim.ts';

/** What can be completed. */
export interface Completable {
  readonly key: string;
  readonly claimed: ClaimedKey;
  completed(): void;
  notCompleted(): void;
}

/** A completion under way, in company with others. A promise is made of it only for who waits for one. */
export class Completion<Claim extends Completable = Completable> implements Pending<ClaimedKey, boolean> {
  readonly claim: Claim;
  #over: PromiseWithResolvers<void> | undefined;

  constructor(claim: Claim) {
    this.claim = claim;
  }

  get call(): ClaimedKey {
    return this.claim.claimed;
  }

  /** Ends with it. */
  get over(): Promise<void> {
    this.#over ??= Promise.withResolvers();
    return this.#over.promise;
  }

  resolve(found: boolean): void {
    if (!found) {
      this.reject(new StaleTokenError(this.claim.key, this.call.token));
      return;
    }
    this.claim.completed();
    this.#over?.resolve();
    this.ended(undefined);
  }

  reject(error: unknown): void {
    this.claim.notCompleted();
    this.#over?.reject(error);
    this.ended(error);
  }

  /** The claim knows of it. */
  protected ended(_error: unknown): void {}
}
