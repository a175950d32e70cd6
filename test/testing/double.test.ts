import { contractsOf, twoDoubles } from './pairs.ts';

contractsOf('of the double', twoDoubles);
