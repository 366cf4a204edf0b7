import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { removeNetns } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { needsTun } from './lab.ts'

/* Network namespaces that are removed without another program. */

const NAME = `l2l3-gone-${process.pid}`

describe('removing a network namespace', () => {
  needsTun()

  it('takes its name away, as ip netns del does', () => {
    execFileSync('ip', ['netns', 'add', NAME])
    expect(removeNetns(NAME)).toBe(0)
    expect(existsSync(`/run/netns/${NAME}`)).toBe(false)
    expect(execFileSync('ip', ['netns'], { encoding: 'utf8' })).not.toContain(NAME)
  })

  it('says what the system says where there is none', () => {
    expect(removeNetns(NAME)).toBe(2)
  })

  it('refuses what cannot be a name', () => {
    expect(() => removeNetns('a/b')).toThrow('netns')
    expect(() => removeNetns('')).toThrow('netns')
  })
})
