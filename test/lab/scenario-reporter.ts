import type { Reporter, TestCase, TestModule, TestRunEndReason, TestSpecification } from 'vitest/node';
import { Progress } from '../support/progress.ts';
import { scenarios } from './scenarios.ts';

/** Tells a run of the lab scenario by scenario: the fault, the promise, what was done and seen, and what came of it. */
export default class ScenarioReporter implements Reporter {
  readonly #seen = new Map<string, string[]>();
  #progress: Progress | undefined;
  #ended = 0;

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#progress = new Progress('files', specifications.length);
  }

  onTestModuleEnd(): void {
    this.#ended += 1;
    this.#progress?.at(this.#ended);
  }

  onUserConsoleLog({ taskId = '', content }: { taskId?: string; content: string }): void {
    this.#seen.set(taskId, [...(this.#seen.get(taskId) ?? []), ...content.trim().split('\n')]);
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly unknown[],
    reason: TestRunEndReason,
  ): void {
    this.#progress?.[Symbol.dispose]();
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const ran = tests.filter((test) => test.result().state !== 'skipped');
    const asked = new Set((process.env.FENCEPOST_LAB_SCENARIOS ?? '').split(' '));
    for (const { id, fault, promise } of scenarios.filter((scenario) => asked.has(scenario.id))) {
      const own = ran.filter(({ tags }) => tags.includes(id));
      const failed = own.filter((test) => test.result().state === 'failed');
      console.log(`\n${id}  ${fault}\n     promise: ${promise}`);
      for (const test of own) this.#tell(test);
      const outcome = own.length === 0 ? 'NOT TESTED' : failed.length > 0 ? 'BROKEN' : 'held';
      console.log(`     ${outcome}, ${own.length} ${own.length === 1 ? 'test' : 'tests'}`);
    }
    for (const module of modules) for (const error of module.errors()) console.log(`\n${error.message}`);
    for (const error of unhandled) console.log(error);
    const broken = ran.filter((test) => test.result().state === 'failed').length;
    if (reason !== 'passed' || broken > 0) process.exitCode = 1;
    console.log(`\n${ran.length - broken} passed, ${broken} failed`);
  }

  #tell(test: TestCase): void {
    const { state, errors = [] } = test.result();
    const took = Math.round(test.diagnostic()?.duration ?? 0);
    console.log(`     ${state === 'passed' ? '+' : '-'} ${test.fullName} (${took} ms)`);
    for (const line of this.#seen.get(test.id) ?? []) console.log(`         ${line}`);
    for (const error of errors) console.log(`         ${error.stack ?? error.message}`);
  }
}
