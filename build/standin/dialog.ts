// dialog: under a test's control each question waits for the test's answer; otherwise it is asked in a small
// window of Chromium, so that the app can be used on the stand-in too.
import type * as Electron from 'electron'
import { BrowserWindow } from './browser-window.ts'
import { isControlled, onControl, report } from './control.ts'
import { askForFile, askQuestion } from './dialog-page.ts'

interface Asked {
  readonly kind: 'message' | 'open'
  readonly options: unknown
}

const asked: Asked[] = []
const answers: unknown[] = []
const waiting: ((answer: unknown) => void)[] = []

/** The test's next answer, given before or after the question. */
function nextAnswer(question: Asked): Promise<unknown> {
  asked.push(question)
  report('dialog', question)
  if (answers.length > 0) return Promise.resolve(answers.shift())
  return new Promise((resolve) => waiting.push(resolve))
}

/** The window argument is optional in Electron's dialogs. */
const optionsOf = <T>(args: [unknown, T] | [T]): T => args[args.length - 1] as T

export const dialog = {
  async showMessageBox(
    ...args: [unknown, Electron.MessageBoxOptions] | [Electron.MessageBoxOptions]
  ): Promise<Electron.MessageBoxReturnValue> {
    const options = optionsOf(args)
    if (isControlled)
      return (await nextAnswer({ kind: 'message', options })) as Electron.MessageBoxReturnValue
    return askQuestion(await dialogContext(), options)
  },
  async showOpenDialog(
    ...args: [unknown, Electron.OpenDialogOptions] | [Electron.OpenDialogOptions]
  ): Promise<Electron.OpenDialogReturnValue> {
    const options = optionsOf(args)
    if (isControlled) return (await nextAnswer({ kind: 'open', options })) as Electron.OpenDialogReturnValue
    return askForFile(await dialogContext(), options)
  },
  /** Before the app is ready Electron on Linux writes to stderr (docs/api/dialog.md, showErrorBox). */
  showErrorBox(title: string, content: string): void {
    console.error(`${title}\n${content}`)
    report('error-box', { title, content })
  },
}

async function dialogContext() {
  const window = BrowserWindow.getFocusedWindow()
  if (window === null) throw new Error('The stand-in can only ask where a window is open')
  return (await window.opened()).context
}

onControl('dialog.answer', ({ answer }) => {
  const next = waiting.shift()
  if (next === undefined) answers.push(answer)
  else next(answer)
})
onControl('dialog.asked', () => asked)
