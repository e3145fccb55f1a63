//! The table of cases beside the planes.

use eframe::egui::{
    self, Align, Align2, Color32, FontId, Pos2, Rect, RichText, Sense, Shape, Stroke, Ui, pos2,
    vec2,
};

use super::{menu, style};
use crate::gui::command::{Action, Command};
use crate::gui::compare::dice_text;
use crate::gui::state::{DOUBTFUL, State};
use crate::gui::worklist::{Case, Column, Decision, ListCommand, Score, Worklist};

/// Height of a row, in points.
const ROW: f32 = 22.0;

/// Width of the columns: decision, case, risk, Dice, each volume.
const WIDTHS: [f32; 5] = [26.0, 124.0, 52.0, 56.0, 72.0];

/// Draws the panel.
pub fn panel_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(list) = state.worklist.as_ref().filter(|_| !state.exporting.nameless) else { return };
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Worklist").size(14.5).color(style::BRIGHT));
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            let close = ui.small_button("×").on_hover_text("Close the worklist");
            close.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Button, true, "Close the worklist")
            });
            if close.clicked() {
                commands.push(Command::List(ListCommand::Close));
            }
        });
    });
    let [to_do, accepted, flagged] = list.counts();
    ui.label(format!("{to_do} to do, {accepted} accepted, {flagged} flagged"));
    ui.horizontal_wrapped(|ui| {
        for action in [Action::PreviousCase, Action::NextCase, Action::Accept, Action::Flag] {
            menu::button(ui, state, action, commands);
        }
    });
    ui.horizontal_wrapped(|ui| {
        let mut only = list.only_to_do;
        if ui.checkbox(&mut only, "Only to do").changed() {
            commands.push(Command::List(ListCommand::OnlyToDo(only)));
        }
        let folders = [
            ("Images…", &list.sources.images, ListCommand::ChooseImages),
            ("References…", &list.sources.references, ListCommand::ChooseReferences),
        ];
        for (text, folder, command) in folders {
            let name = folder.as_ref().and_then(|folder| folder.file_name());
            let tip = name.map_or_else(
                || "None found beside the labels: choose the folder".to_owned(),
                |name| format!("From {}: choose another folder", name.to_string_lossy()),
            );
            if ui.small_button(text).on_hover_text(tip).clicked() {
                commands.push(Command::List(command));
            }
        }
    });
    ui.add_space(2.0);
    table_ui(ui, list, commands);
}

fn table_ui(ui: &mut Ui, list: &Worklist, commands: &mut Vec<Command>) {
    let footer = 36.0;
    let room = (ui.available_height() - footer).max(80.0);
    let [first, name, risk, dice, amount] = WIDTHS;
    let least = first + name + risk + dice + amount * list.classes.len() as f32;
    let width = least.max(ui.available_width() - 12.0);
    let widths = [first, name + width - least, risk, dice, amount];
    ui.scope(|ui| {
        ui.set_max_height(room);
        ui.spacing_mut().item_spacing.y = 0.0;
        egui::ScrollArea::horizontal().auto_shrink(false).show(ui, |ui| {
            ui.set_min_width(width);
            head_ui(ui, list, widths, commands);
            let open_row = list
                .current
                .and_then(|current| list.order.iter().position(|&place| place == current));
            let id = ui.scope_id().with("open row");
            // For some frames, for the table may still be finding its size.
            let (before, frames) = ui.data(|data| data.get_temp(id)).unwrap_or((None, 0));
            let frames: u8 = if before == list.current { frames } else { 4 };
            ui.data_mut(|data| data.insert_temp(id, (list.current, frames.saturating_sub(1))));
            let follow = open_row.filter(|_| frames > 0);
            if follow.is_some() {
                ui.ctx().request_repaint();
            }
            egui::ScrollArea::vertical().auto_shrink(false).show_rows(
                ui,
                ROW,
                list.order.len(),
                |ui, rows| {
                    let top = ui.cursor().top() - rows.start as f32 * ROW;
                    if let Some(row) = follow {
                        let y = top + row as f32 * ROW;
                        let row = Rect::from_min_size(pos2(ui.cursor().left(), y), vec2(1.0, ROW));
                        let at_once = egui::style::ScrollAnimation::none();
                        ui.scroll_to_rect_animation(row, None, at_once);
                    }
                    for row in rows {
                        row_ui(ui, list, row, widths, commands);
                    }
                },
            );
        });
    });
    let text = "Decisions are kept in the folder of the labels, by the names of its files";
    ui.add(egui::Label::new(RichText::new(text).small().color(style::FAINT)).wrap());
}

fn head_ui(ui: &mut Ui, list: &Worklist, widths: [f32; 5], commands: &mut Vec<Command>) {
    let mut columns = vec![
        (Column::Decision, " ".to_owned(), "Sort by decision".to_owned()),
        (Column::Case, "Case".to_owned(), "Sort by case".to_owned()),
        (Column::Risk, "Risk".to_owned(), "Sort by risk: by the model's own softmax".to_owned()),
        (Column::Dice, "Dice".to_owned(), "Sort by Dice: mean over the labels".to_owned()),
    ];
    for (label, name) in &list.classes {
        columns.push((Column::Amount(*label), name.clone(), format!("Sort by {name}, in ml")));
    }
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        for (index, (column, text, tip)) in columns.into_iter().enumerate() {
            let (sorted, descending) = list.sorted_by;
            let size = vec2(widths[index.min(4)], ROW);
            let (rect, response) = ui.allocate_exact_size(size, Sense::click());
            let color = if response.hovered() { style::BRIGHT } else { style::FAINT };
            let painter = ui.painter_at(rect);
            let words = painter.text(
                rect.left_center() + vec2(4.0, 0.0),
                Align2::LEFT_CENTER,
                text,
                FontId::proportional(13.0),
                color,
            );
            if sorted == column {
                arrow(&painter, words.right_center() + vec2(8.0, 0.0), descending);
            }
            let name = tip.split(':').next().unwrap_or_default().to_owned();
            response
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name.clone()));
            if response.on_hover_text(tip).clicked() {
                commands.push(Command::List(ListCommand::Sort(column)));
            }
        }
    });
}

fn row_ui(ui: &mut Ui, list: &Worklist, row: usize, widths: [f32; 5], commands: &mut Vec<Command>) {
    let place = list.order[row];
    let case = &list.cases[place];
    let width = widths[..4].iter().sum::<f32>() + widths[4] * list.classes.len() as f32;
    let (rect, response) = ui.allocate_exact_size(vec2(width, ROW), Sense::click());
    if !ui.is_rect_visible(rect) {
        return;
    }
    let open = list.current == Some(place);
    let name = format!(
        "Case {}, {}, risk {}, Dice {}",
        case.name,
        case.decision.text(),
        risk_text(case),
        score_text(case)
    );
    response
        .widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, open, name.clone()));
    let painter = ui.painter_at(rect);
    let ground = match (open, response.hovered(), row % 2) {
        (true, ..) => Color32::from_rgb(45, 85, 120),
        (false, true, _) => Color32::from_rgb(46, 50, 57),
        (false, false, 0) => Color32::from_rgb(31, 33, 38),
        _ => Color32::TRANSPARENT,
    };
    painter.rect_filled(rect, 0.0, ground);
    let mut left = rect.left();
    let mut cell = |width: f32, text: &str, color: Color32| {
        let cell = Rect::from_min_size(pos2(left, rect.top()), vec2(width, ROW));
        ui.painter_at(cell.shrink2(vec2(2.0, 0.0))).text(
            cell.left_center() + vec2(4.0, 0.0),
            Align2::LEFT_CENTER,
            text,
            FontId::proportional(13.0),
            color,
        );
        left += width;
    };
    cell(widths[0], "", style::TEXT);
    decision_mark(&painter, rect.left_center() + vec2(12.0, 0.0), case.decision);
    cell(widths[1], &case.name, if case.image.is_some() { style::TEXT } else { style::FAINT });
    let risky = case.risk.is_some_and(|risk| risk >= DOUBTFUL);
    cell(widths[2], &risk_text(case), if risky { style::DOUBT } else { style::TEXT });
    let color = match case.score {
        Score::Failed(_) => style::PROBLEM,
        Score::Dice(Some(dice)) if dice < crate::gui::compare::BAD_DICE => style::DOUBT,
        _ => style::TEXT,
    };
    cell(widths[3], &score_text(case), color);
    for (label, _) in &list.classes {
        let text = case.amount(*label).map_or_else(String::new, |amount| match amount.volume_ml {
            Some(ml) => format!("{ml:.2} ml"),
            None => format!("{} px", amount.voxels),
        });
        cell(widths[4], &text, style::TEXT);
    }
    if response.clicked() {
        commands.push(Command::List(ListCommand::Go(place)));
    }
    response.on_hover_ui(|ui| {
        ui.label(&case.name);
        ui.label(case.decision.text());
        if let Some((doubtful, slices)) = case.doubtful {
            ui.label(format!("{doubtful} of {slices} slices are doubtful"));
        }
        if case.image.is_none() {
            ui.label("There is no image with this name");
        }
        if case.corrected.is_some() {
            ui.label("Labels were corrected");
        }
        if let Score::Failed(reason) = &case.score {
            ui.label(reason);
        }
    });
}

/// Down where the largest comes first, up where the smallest does.
fn arrow(painter: &egui::Painter, at: Pos2, descending: bool) {
    let tip = if descending { 3.0 } else { -3.0 };
    let corners = vec![at + vec2(0.0, tip), at + vec2(-4.0, -tip), at + vec2(4.0, -tip)];
    painter.add(Shape::convex_polygon(corners, style::BRIGHT, Stroke::NONE));
}

/// A ring for to do, a tick for accepted, a flag for flagged.
fn decision_mark(painter: &egui::Painter, at: Pos2, decision: Decision) {
    match decision {
        Decision::ToDo => {
            painter.circle_stroke(at, 3.0, Stroke::new(1.0, style::FAINT));
        }
        Decision::Accepted => {
            let stroke = Stroke::new(1.8, Color32::from_rgb(120, 205, 120));
            let corner = at + vec2(-1.0, 4.0);
            painter.line_segment([at + vec2(-5.0, 0.0), corner], stroke);
            painter.line_segment([corner, at + vec2(6.0, -5.0)], stroke);
        }
        Decision::Flagged => {
            let top = at + vec2(-4.0, -6.0);
            painter.line_segment([top, at + vec2(-4.0, 6.0)], Stroke::new(1.4, style::DOUBT));
            let cloth = vec![top, top + vec2(9.0, 3.5), top + vec2(0.0, 7.0)];
            painter.add(Shape::convex_polygon(cloth, style::DOUBT, Stroke::NONE));
        }
    }
}

fn risk_text(case: &Case) -> String {
    dice_text(case.risk)
}

fn score_text(case: &Case) -> String {
    match case.score {
        Score::NoReference => String::new(),
        Score::Waiting => "…".to_owned(),
        Score::Dice(dice) => dice_text(dice),
        Score::Failed(_) => "failed".to_owned(),
    }
}
