/**
 * `npm run matrix`: sets up, tries all flows of all modes in all worlds (as root, on Linux too), and writes the table of
 * what came of it into docs/modes.md.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, run } from './run.mjs'
import './setup.mjs'

const directory = mkdtempSync(join(tmpdir(), 'l2l3-matrix-'))
const status = await run(`${root}/node_modules/.bin/vitest`, ['run', 'packages/topology/test/conformance'], {
  L2L3_MATRIX: directory,
  L2L3_COMPILED: '1',
})
const modes = readdirSync(directory)
  .map((file) => JSON.parse(readFileSync(join(directory, file), 'utf8')))
  .sort((a, b) => (a.mode < b.mode ? -1 : 1))
rmSync(directory, { recursive: true })
if (process.getuid?.() !== 0)
  console.error('matrix: not root, so nothing was tried on Linux; docs/modes.md stays as it is')
else if (modes.length === 0) console.error('matrix: no mode was tried; docs/modes.md stays as it is')
else write(modes)
process.exitCode = status

function write(rows) {
  const flows = Object.keys(rows[0].flows)
  const notes = new Map()
  const table = [
    `| mode | sections | ${flows.join(' | ')} |`,
    `|---|---|${flows.map(() => '---').join('|')}|`,
    ...rows.map(({ mode, page, sections, flows: of }) => {
      const cells = flows.map((flow) => cell(of[flow], notes))
      return `| [${mode}](modes/${page}.md) | ${eachOnce(sections).join(', ')} | ${cells.join(' | ')} |`
    }),
  ]
  const list = Array.from(notes, ([why, number]) => `${number}. ${why}`)
  const text = [...table, '', 'Where there is no such flow, or it cannot be tried:', '', ...list].join('\n')
  const file = join(root, 'docs/modes.md')
  const before = readFileSync(file, 'utf8')
  const marks = /(<!-- matrix -->\n)[\s\S]*(<!-- end of matrix -->)/
  if (!marks.test(before)) throw new Error('docs/modes.md has no place for the table')
  writeFileSync(
    file,
    before.replace(marks, (_, begin, end) => `${begin}\n${text}\n\n${end}`),
  )
  console.log(`matrix: ${rows.length} modes in docs/modes.md`)
}

/** Sections, each once and in order: a case may name several, as "2.3, 17.1". */
function eachOnce(sections) {
  const all = sections.flatMap((text) => text.split(', ')).map((section) => section.replace('Appendix ', ''))
  return [...new Set(all)].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
}

/** What came of a flow in the three worlds: "pass" where all passed, else each by its letter. */
function cell(worlds, notes) {
  const outcomes = Object.entries(worlds)
  const note = (why) => {
    if (!notes.has(why)) notes.set(why, notes.size + 1)
    return `n/a (${notes.get(why)})`
  }
  const [[, first]] = outcomes
  if (outcomes.every(([, outcome]) => outcome === first)) return /^(pass|fail)$/.test(first) ? first : note(first)
  return outcomes
    .map(([world, outcome]) => `${world} ${/^(pass|fail)$/.test(outcome) ? outcome : note(outcome)}`)
    .join(', ')
}
