/**
 * What holds for every topology in examples/, and every frame that its checks send: what is printed says how to make, from
 * the frame that came in, each that went out - byte for byte those that the hosts have taken.
 */
import { bytesAt, outputs, parseTraceText, type Trace, traceText } from '@l2l3/topology/memory'
import { describe, expect, it } from 'vitest'
import { asked, example, examples, questions } from './questions.ts'

const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex')

describe.each(examples)('examples/%s.yaml', (name) => {
  const topology = example(name)
  const all = questions(topology)

  it('has something to trace', () => {
    expect(all.length).toBeGreaterThan(0)
  })

  for (const question of all) {
    it(`${question.name}: the printed diffs, applied to the input, give what the hosts took`, () => {
      const { report, taken } = asked(topology, question)
      expect(report.frames.length).toBeGreaterThan(0)
      let compared = 0
      for (const frame of report.frames) {
        expect(frame.end).toBe('done')
        const printed = parseTraceText(traceText(frame))
        expect(printed.steps.length).toBe(frame.steps.length)
        frame.steps.forEach((step, i) => {
          expect(bytesAt(printed, i).length, `step ${i + 1}`).toBe(step.length)
        })
        const ends = outputs({ ...frame, ...printed } as Trace)
        expect(ends.map((o) => o.label)).toEqual(outputs(frame).map((o) => o.label))
        for (const { label, bytes } of ends) {
          const there = taken.get(label)
          if (there === undefined) continue
          const at = there.indexOf(hex(bytes))
          expect(at, `${label} took ${hex(bytes)}`).toBeGreaterThanOrEqual(0)
          there.splice(at, 1)
          compared++
        }
      }
      // Where nobody takes anything, every frame was dropped, and says why.
      const reasons = report.frames.flatMap((frame) => frame.steps.filter((step) => step.kind === 'drop'))
      expect(compared + reasons.length).toBeGreaterThan(0)
    })
  }
})
