/** The name may be in use by the caller: a savepoint hides an older one of its name only until it is released. */
const name = 'fencepost';

export const savepoint = `savepoint ${name}`;
export const release = `release savepoint ${name}`;
export const rollbackTo = `rollback to savepoint ${name}`;
