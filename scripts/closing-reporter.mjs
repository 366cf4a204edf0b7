/**
 * Closes a test run with what was skipped and why, and the line `N passed, N failed, N skipped`. Checks that failed before
 * the tests, whose number is in L2L3_FAILED_CHECKS, count as failed.
 */
export default class ClosingReporter {
  onTestRunEnd(modules, errors) {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    const skipped = new Map()
    for (const module of modules) {
      // A file that does not load has no tests to count, and is a failure all the same.
      if (module.state() === 'failed' && [...module.children.allTests()].length === 0) counts.failed++
      for (const test of module.children.allTests()) {
        const result = test.result()
        counts[result.state]++
        if (result.state !== 'skipped') continue
        const why = reason(test, result.note)
        skipped.set(why, [...(skipped.get(why) ?? []), test.fullName])
      }
    }
    counts.failed += errors.length + Number(process.env.L2L3_FAILED_CHECKS ?? 0)
    for (const [why, names] of skipped) {
      process.stdout.write(`\nskipped ${names.length}: ${why}\n`)
      for (const name of names.slice(0, 20)) process.stdout.write(`  ${name}\n`)
      if (names.length > 20) process.stdout.write(`  ... and ${names.length - 20} more\n`)
    }
    const { passed, failed, pending } = counts
    process.stdout.write(`\n${passed} passed, ${failed + pending} failed, ${counts.skipped} skipped\n`)
  }
}

/** The first line of what the test said when it skipped itself, else what it or its suite has in brackets at its end. */
function reason(test, note) {
  if (note) return note.split('\n', 1)[0]
  for (let task = test; task?.name; task = task.parent) {
    const said = / \((?:skipped: )?((?:missing: )?[^()]+)\)$/.exec(task.name)
    if (said) return said[1]
  }
  return 'no reason given'
}
