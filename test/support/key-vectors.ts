/**
 * Keys and their numbers, computed once by a third implementation (Python's hashlib). A change of the encoding
 * would let old and new processes hold one key at one time, so these numbers stay for ever.
 */
export const keyVectors: readonly { namespace?: string; parts: readonly string[]; number: bigint }[] = [
  { parts: ['a'], number: -3121846791687209279n },
  { parts: [''], number: 4111763080007792286n },
  { parts: ['', ''], number: 7190763066485904164n },
  { parts: ['a', 'bc'], number: -6754190713849393985n },
  { parts: ['ab', 'c'], number: -7904923366485222893n },
  { parts: ['a:bc'], number: 4207933515438326434n },
  { parts: ['invoice', '7'], number: -2983190963087679388n },
  { namespace: 'billing', parts: ['invoice', '7'], number: 4748069364724853948n },
  { parts: ['-9223372036854775808'], number: 7264027524241880912n },
  { parts: ['Grüße, 世界'], number: -5394319191839977816n },
  { parts: ['🔒', '\u{10ffff}'], number: 4229087138544832950n },
  { parts: ['cafe\u0301'], number: 3470672667726840336n },
  { parts: ['caf\u00e9'], number: 4242178567100973686n },
  { parts: ['x'.repeat(8_184)], number: 191085848405969757n },
];
