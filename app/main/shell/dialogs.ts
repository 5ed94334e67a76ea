// The desktop's own dialogs.
import { type BrowserWindow, dialog } from 'electron'
import { text } from '../../renderer/text/en.ts'
import { type QuitDecision, quitButtons, quitQuestion } from '../quit-rule.ts'

/** Lets the person choose an image archive. */
export async function chooseArchive(window: BrowserWindow | undefined): Promise<string | undefined> {
  const options = {
    title: text.importDialog.title,
    buttonLabel: text.importDialog.button,
    properties: ['openFile' as const],
    filters: [
      { name: text.importDialog.archives, extensions: ['tar', 'tgz', 'gz', 'zst', 'oci'] },
      { name: text.importDialog.allFiles, extensions: ['*'] },
    ],
  }
  const { canceled, filePaths } = await (window === undefined
    ? dialog.showOpenDialog(options)
    : dialog.showOpenDialog(window, options))
  return canceled ? undefined : filePaths[0]
}

/** Asks what becomes of running guests; whether to remember the answer. */
export async function askAboutGuests(
  window: BrowserWindow | undefined,
  runningGuests: number,
): Promise<{ readonly decision: QuitDecision; readonly isRemembered: boolean }> {
  const options = quitQuestion(runningGuests)
  const { response, checkboxChecked } = await (window === undefined
    ? dialog.showMessageBox(options)
    : dialog.showMessageBox(window, options))
  const decision = quitButtons[response] ?? 'cancel'
  return { decision, isRemembered: checkboxChecked && decision !== 'cancel' }
}
