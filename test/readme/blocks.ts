import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../package/built.ts';

/** A fenced block of a page: the three backticks, the language, whatever else stands on that line, the text. */
export interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly name: string;
  readonly text: string;
}

/** The fenced blocks of README.md and of every page under docs, in their order. */
export function readBlocks(): Block[] {
  const docs = readdirSync(join(repository, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file));
  return ['README.md', ...docs].flatMap((page) =>
    blocksOf(page, readFileSync(join(repository, page), 'utf8')),
  );
}

export function blocksOf(page: string, text: string): Block[] {
  return [...text.matchAll(/^```(\w*) *(.*)\n([\s\S]*?)^```$/gm)].map(
    ({ index, 1: language = '', 2: name = '', 3: text_ = '' }) => ({
      page,
      line: text.slice(0, index).split('\n').length,
      language,
      name,
      text: text_,
    }),
  );
}
