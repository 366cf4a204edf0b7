import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addonAvailable } from '@l2l3/tap-io'
import { expect, it, onTestFinished } from 'vitest'
import { FROM_SOURCE, run } from './lab.ts'

/* Containers often forbid kcmp(), by which the addon tells whether two numbers are one open file. */

const FORBID = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
long syscall(long n, ...) {
  static long (*real)(long, ...);
  long v[6];
  va_list a;
  va_start(a, n);
  for (int i = 0; i < 6; i++) v[i] = va_arg(a, long);
  va_end(a);
  if (n == SYS_kcmp) return errno = EPERM, -1;
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return real(n, v[0], v[1], v[2], v[3], v[4], v[5]);
}
`

it("closes no descriptor that is somebody else's, without kcmp() either", async (context) => {
  const built = addonAvailable()
  if (!built.ok) context.skip(built.reason)
  const dir = mkdtempSync(join(tmpdir(), 'l2l3-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const [source, library] = [join(dir, 'forbid.c'), join(dir, 'forbid.so')]
  writeFileSync(source, FORBID)
  try {
    execFileSync(process.env.CC || 'cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], { stdio: 'pipe' })
  } catch (error) {
    context.skip(`no library to be made that forbids kcmp(): ${(error as Error).message}`)
  }
  const program = fileURLToPath(new URL('close-anothers.ts', import.meta.url))
  const said = await run('env', `LD_PRELOAD=${library}`, process.execPath, ...FROM_SOURCE, program)
  expect(JSON.parse(said)).toEqual({
    same: true,
    whole: null,
    port: expect.stringMatching(/closed under the port and is something else now/),
    stranger: null,
    open: true,
  })
})
