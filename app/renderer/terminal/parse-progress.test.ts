import { expect, it } from 'vitest'
import { ParseProgress, type Timer } from './parse-progress.ts'

/** Time that passes when the test says so. */
class ManualTimer implements Timer {
  #action: (() => void) | undefined

  set(action: () => void): unknown {
    this.#action = action
    return action
  }

  clear(): void {
    this.#action = undefined
  }

  pass(): void {
    const action = this.#action
    this.#action = undefined
    action?.()
  }
}

function progress() {
  const timer = new ManualTimer()
  const acknowledged: number[] = []
  return { timer, acknowledged, progress: new ParseProgress((offset) => acknowledged.push(offset), timer) }
}

it('acknowledges after a quarter of the window, cumulatively', () => {
  const { progress: parsed, acknowledged } = progress()
  for (let offset = 65536; offset <= 1048576; offset += 65536) parsed.parsedTo(offset)
  expect(acknowledged).toEqual([262144, 524288, 786432, 1048576])
})

it('acknowledges the tail of a burst when it is idle', () => {
  const { progress: parsed, acknowledged, timer } = progress()
  parsed.parsedTo(10)
  parsed.parsedTo(20)
  expect(acknowledged).toEqual([])
  timer.pass()
  expect(acknowledged).toEqual([20])
  timer.pass()
  expect(acknowledged).toEqual([20])
})

it('never goes back', () => {
  const { progress: parsed, acknowledged, timer } = progress()
  parsed.parsedTo(100)
  timer.pass()
  parsed.parsedTo(50)
  timer.pass()
  expect(acknowledged).toEqual([100])
})

it('is silent once it is disposed of', () => {
  const { progress: parsed, acknowledged, timer } = progress()
  parsed.parsedTo(100)
  parsed.dispose()
  timer.pass()
  expect(acknowledged).toEqual([])
})
