// What node-redlock 5 declares where NodeNext does not find it: its exports name no types.
declare module 'redlock' {
  export class Lock {
    readonly expiration: number;
    extend(duration: number): Promise<Lock>;
    release(): Promise<unknown>;
  }
  export default class Redlock {
    constructor(
      clients: Iterable<unknown>,
      settings?: { retryCount?: number; retryDelay?: number; retryJitter?: number },
    );
    acquire(resources: string[], duration: number): Promise<Lock>;
    quit(): Promise<void>;
  }
}
