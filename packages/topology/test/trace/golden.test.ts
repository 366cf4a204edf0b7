/**
 * Traces as they were when somebody last looked at them, in golden/: of every topology in examples/ what each kind of check
 * sends, with the answers. They change where what is said of frames changes, and are then written anew by
 *
 *     UPDATE_GOLDEN=1 npx vitest run packages/topology/test/trace/golden.test.ts
 *
 * and looked at.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { reportText } from '@l2l3/topology/memory'
import { describe, expect, it } from 'vitest'
import { asked, example, examples, type Question, questions } from './questions.ts'

const GOLDEN = new URL('./golden/', import.meta.url)
const update = process.env.UPDATE_GOLDEN === '1'

/** The first of each kind, and the last, which most often must fail. */
function chosen(name: string): Question[] {
  const all = questions(example(name))
  const kinds = ['icmp', 'tcp'].map((kind) => all.find((question) => question.name.startsWith(kind)))
  return [...new Set([...kinds, all.at(-1)].flatMap((question) => question ?? []))]
}

function golden(file: string, text: string): void {
  const path = new URL(file, GOLDEN)
  if (update) {
    mkdirSync(GOLDEN, { recursive: true })
    writeFileSync(path, text)
  }
  expect(existsSync(path), `golden/${file} is there (UPDATE_GOLDEN=1 writes it)`).toBe(true)
  expect(text, `golden/${file} (UPDATE_GOLDEN=1 writes it anew)`).toBe(readFileSync(path, 'utf8'))
}

type Report = ReturnType<typeof asked>['report']

describe.each(examples)('examples/%s.yaml', (name) => {
  const first = chosen(name)[0] as Question
  let once: Report | null = null
  /** What is seen of the first question, which several ask. */
  const seen = (): Report => (once ??= asked(example(name), first).report)

  it('is traced as before, in words', () => {
    const texts = chosen(name).map((question) => {
      const report = question.name === first.name ? seen() : asked(example(name), question).report
      return `${reportText(report, { answer: true, neighbours: true }).join('\n')}\n`
    })
    golden(`${name}.txt`, texts.join(`\n${'-'.repeat(80)}\n\n`))
  })

  it('is traced as before, as JSON, a frame a line', () => {
    golden(
      `${name}.jsonl`,
      seen()
        .frames.map((frame) => `${JSON.stringify(frame)}\n`)
        .join(''),
    )
  })

  it('is traced alike however often', () => {
    expect(asked(example(name), first).report).toEqual(seen())
  })
})
