// What quitting means for running guests: decided here, asked and done in shell/.
import type { Settings } from '../preload/settings.ts'
import { text } from '../renderer/text/en.ts'

export type QuitDecision = 'keep' | 'stop' | 'cancel'

/** The decision, or that the person must be asked. */
export function quitDecision(onQuit: Settings['onQuit'], runningGuests: number): 'keep' | 'stop' | 'ask' {
  if (runningGuests === 0) return 'keep'
  return onQuit
}

/** Buttons in the order in which they are shown; their index is the dialog's answer. */
export const quitButtons = ['keep', 'stop', 'cancel'] as const satisfies readonly QuitDecision[]

export function quitQuestion(runningGuests: number) {
  const strings = text.quit
  return {
    type: 'question' as const,
    title: strings.title,
    message: strings.message(runningGuests),
    detail: strings.detail,
    buttons: [strings.keep, strings.stop, strings.cancel],
    defaultId: 0,
    cancelId: 2,
    checkboxLabel: strings.remember,
    noLink: true,
  }
}

/** True where closing the last window ends the app: without a tray nobody could bring it back. */
export function closingLastWindowQuits(isTrayShown: boolean): boolean {
  return !isTrayShown
}
