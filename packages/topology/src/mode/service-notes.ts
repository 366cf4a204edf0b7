import type { ServiceRow } from '../mode.ts'

/** Rows with what is said of their services, each with the first row of its service: "service web: ...", "service web has no endpoints: ...". */
export function withNotes(rows: readonly ServiceRow[], notes: readonly string[]): ServiceRow[] {
  const said = new Set<string>()
  return rows.map((row) => {
    const own = notes.filter(
      (note) => !said.has(note) && [':', ' '].some((after) => note.startsWith(`service ${row.name}${after}`)),
    )
    for (const note of own) said.add(note)
    return own.length === 0 ? row : { ...row, notes: own }
  })
}
