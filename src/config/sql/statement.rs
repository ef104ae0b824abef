//! The owner's query: one statement that only reads, with `:phone` and `:digits` where the number goes.
//!
//! Nothing is ever spliced into it: placeholders become the server's own, and the number is bound. Comments are left
//! out. It is no parser of SQL: it tells strings, quoted names and comments from the rest, and leaves judging to the
//! server.

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL and what speaks its protocol.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
}

/// What stands for the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `:phone`, E.164 with its plus.
    Phone,
    /// `:digits`, without.
    Digits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Placeholder),
}

/// A query that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pieces: Vec<Piece>,
    dialect: Dialect,
}

impl Statement {
    /// Reads a query.
    ///
    /// # Errors
    /// A sentence: more than one statement, not a `SELECT` or `WITH`, an unknown placeholder, none at all, or a string
    /// or comment without its end.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let mut scan = Scan { rest: text, before: None, dialect, pieces: Vec::new(), words: Vec::new() };
        scan.run()?;
        let first = scan.words.first().map(String::as_str);
        if !matches!(first, Some("select" | "with")) {
            return Err("`query` must be a statement that reads: it begins with SELECT or WITH".into());
        }
        if scan.words.iter().any(|word| word == "into") {
            return Err("`query` must only read: SELECT … INTO writes".into());
        }
        if !scan.pieces.iter().any(|piece| matches!(piece, Piece::Place(_))) {
            return Err("`query` must say whom it asks for: `:phone` (+49…) or `:digits` (49…)".into());
        }
        Ok(Self { pieces: scan.pieces, dialect })
    }

    /// The text with the server's own placeholders, and what is bound to them, in order.
    pub fn bound(&self) -> (String, Vec<Placeholder>) {
        let (mut text, mut places) = (String::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Place(place) if self.dialect == Dialect::MySql => {
                    text.push('?');
                    places.push(*place);
                }
                Piece::Place(place) => {
                    let known = places.iter().position(|known| known == place);
                    let at = known.unwrap_or_else(|| {
                        places.push(*place);
                        places.len() - 1
                    });
                    text.push(if self.dialect == Dialect::Postgres { '$' } else { '?' });
                    text.push_str(&(at + 1).to_string());
                }
            }
        }
        (text, places)
    }
}

/// The reading of a query, from its beginning to its end.
struct Scan<'a> {
    rest: &'a str,
    /// The character before the rest.
    before: Option<char>,
    dialect: Dialect,
    pieces: Vec<Piece>,
    words: Vec<String>,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(next) = self.rest.chars().next() {
            match next {
                _ if self.comment()? => {}
                '\'' => self.quoted(next, self.has_escapes())?,
                '"' => self.quoted(next, self.dialect == Dialect::MySql)?,
                '`' => self.quoted(next, false)?,
                '$' if self.dialect == Dialect::Postgres && !self.in_word() => self.dollar()?,
                '?' if self.dialect != Dialect::Postgres => return Err(positional("?")),
                ':' => self.colon()?,
                ';' => return self.end(),
                _ if is_word(next) && !self.in_word() => self.word(),
                _ => self.take(next.len_utf8()),
            }
        }
        Ok(())
    }

    /// Keeps the next bytes as they are.
    fn take(&mut self, bytes: usize) {
        let (text, rest) = self.rest.split_at(bytes);
        self.before = text.chars().next_back().or(self.before);
        self.rest = rest;
        match self.pieces.last_mut() {
            Some(Piece::Text(piece)) => piece.push_str(text),
            _ => self.pieces.push(Piece::Text(text.into())),
        }
    }

    fn in_word(&self) -> bool {
        self.before.is_some_and(is_word)
    }

    /// Whether a backslash in the string that begins here takes the next character's meaning away.
    fn has_escapes(&self) -> bool {
        let is_e_string = self.dialect == Dialect::Postgres && matches!(self.before, Some('e' | 'E'));
        self.dialect == Dialect::MySql
            || is_e_string && self.words.last().is_some_and(|word| word.eq_ignore_ascii_case("e"))
    }

    fn word(&mut self) {
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        self.words.push(self.rest[..length].to_lowercase());
        self.take(length);
    }

    /// A string or a quoted name; a doubled quote stands for itself, and so does what follows a backslash.
    fn quoted(&mut self, quote: char, escapes: bool) -> Result<(), String> {
        let mut inside = self.rest.char_indices().skip(1);
        while let Some((at, c)) = inside.next() {
            if c == '\\' && escapes {
                inside.next();
            } else if c == quote {
                self.take(at + 1);
                return Ok(());
            }
        }
        Err(format!("`query` has a {quote} without its end"))
    }

    /// `$1` is the server's own placeholder; `$tag$…$tag$` a string.
    fn dollar(&mut self) -> Result<(), String> {
        let tag = self.rest[1..].find(|c| !is_word(c)).map_or(self.rest.len(), |end| end + 1);
        if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return Err(positional("$1"));
        }
        if !self.rest[tag..].starts_with('$') {
            self.take(tag);
            return Ok(());
        }
        let tag = &self.rest[..=tag];
        let end = self.rest[tag.len()..].find(tag).ok_or("`query` has a $…$ string without its end")?;
        self.take(end + 2 * tag.len());
        Ok(())
    }

    /// A placeholder, or a cast `::`, an assignment `:=`, a slice `[1:2]`.
    fn colon(&mut self) -> Result<(), String> {
        if self.rest.starts_with("::") {
            self.take(2);
            return Ok(());
        }
        let name = &self.rest[1..];
        let name = &name[..name.find(|c| !is_word(c)).unwrap_or(name.len())];
        let place = match name {
            "phone" => Placeholder::Phone,
            "digits" => Placeholder::Digits,
            _ if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) => {
                self.take(1);
                return Ok(());
            }
            _ => {
                return Err(format!(
                    "`query` has an unknown placeholder `:{name}`; there are `:phone` (+49…) and `:digits` (49…)"
                ));
            }
        };
        self.rest = &self.rest[1 + name.len()..];
        self.before = Some('?');
        self.pieces.push(Piece::Place(place));
        Ok(())
    }

    /// Leaves out a comment, if one begins here.
    fn comment(&mut self) -> Result<bool, String> {
        let is_mysql = self.dialect == Dialect::MySql;
        let is_dashes = self.rest.starts_with("--")
            && (!is_mysql || self.rest[2..].chars().next().is_none_or(char::is_whitespace));
        let length = if is_dashes || is_mysql && self.rest.starts_with('#') {
            self.rest.find('\n').unwrap_or(self.rest.len())
        } else if self.rest.starts_with("/*") {
            self.block_comment().ok_or("`query` has a comment without its end")?
        } else {
            return Ok(false);
        };
        let after = &self.rest[length..];
        self.rest = " ";
        self.take(1);
        self.rest = after;
        Ok(true)
    }

    /// The length of a `/* … */`, which Postgres nests.
    fn block_comment(&self) -> Option<usize> {
        let (mut depth, mut at) = (1, 2);
        while depth > 0 {
            let rest = self.rest.get(at..)?;
            let close = rest.find("*/")?;
            let open = rest.find("/*").filter(|open| *open < close && self.dialect == Dialect::Postgres);
            depth = if open.is_some() { depth + 1 } else { depth - 1 };
            at += open.unwrap_or(close) + 2;
        }
        Some(at)
    }

    /// Nothing may follow the `;` but spaces and comments.
    fn end(&mut self) -> Result<(), String> {
        self.rest = &self.rest[1..];
        while let Some(next) = self.rest.chars().next() {
            if !self.comment()? {
                if !next.is_whitespace() && next != ';' {
                    return Err("`query` must be one statement; something follows its `;`".into());
                }
                self.rest = &self.rest[next.len_utf8()..];
            }
        }
        Ok(())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn positional(placeholder: &str) -> String {
    format!("`query` has `{placeholder}`; write `:phone` (+49…) or `:digits` (49…) where the number goes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::{MySql, Postgres, Sqlite};
    use Placeholder::{Digits, Phone};

    fn bound(text: &str, dialect: Dialect) -> (String, Vec<Placeholder>) {
        Statement::parse(text, dialect).unwrap_or_else(|why| panic!("{text}: {why}")).bound()
    }

    #[test]
    fn placeholders_become_the_servers_own() {
        let text = "select status from members where a = :digits or b = :phone or c = :digits";
        let numbered = "select status from members where a = $1 or b = $2 or c = $1";
        assert_eq!(bound(text, Postgres), (numbered.into(), vec![Digits, Phone]));
        assert_eq!(bound(text, Sqlite), (numbered.replace('$', "?"), vec![Digits, Phone]));
        let plain = "select status from members where a = ? or b = ? or c = ?";
        assert_eq!(bound(text, MySql), (plain.into(), vec![Digits, Phone, Digits]));
    }

    #[test]
    fn strings_names_and_casts_are_left_alone() {
        for (dialect, kept) in [
            (Postgres, "SELECT ':phone', \":digits\", 'it''s :x', x::text, a[1:2] FROM t WHERE p = "),
            (Postgres, "WITH a AS (SELECT $$ :x ; $$, $t$ $$ :y $t$) SELECT E'\\' :z' FROM a WHERE p = "),
            (Postgres, "SELECT 'back\\', j ? 'a', a_$1 FROM t WHERE p="),
            (MySql, "select 'it\\'s :x', `:y`, \"\\\":z\", @a:=1, 5--3 from t where p = "),
            (Sqlite, "select 'back\\', \"a:b\" from t where p = "),
        ] {
            let sign = if dialect == MySql { "?" } else { "?1" };
            let sign = if dialect == Postgres { "$1" } else { sign };
            assert_eq!(bound(&format!("{kept}:phone"), dialect), (format!("{kept}{sign}"), vec![Phone]));
        }
    }

    #[test]
    fn comments_and_the_last_semicolon_are_left_out() {
        let text = "-- who pays; :x\nSELECT s /* a /* b */ ; :y */ FROM t WHERE p = :phone ; -- end\n ;";
        assert_eq!(bound(text, Postgres).0.trim(), "SELECT s   FROM t WHERE p = $1");
        let text = "SELECT s # :x\n FROM t /*! STRAIGHT_JOIN */ WHERE p = :phone--";
        assert_eq!(bound(text, MySql).0.trim(), "SELECT s  \n FROM t   WHERE p = ?");
    }

    #[test]
    fn what_is_no_single_question_about_a_person_is_refused() {
        for (dialect, text, sentence) in [
            (Postgres, "DELETE FROM t WHERE p = :phone", "begins with SELECT or WITH"),
            (MySql, "  update t set a = :phone", "begins with SELECT or WITH"),
            (Postgres, "", "begins with SELECT or WITH"),
            (Postgres, "SELECT 1 WHERE :phone = ''; DROP TABLE t", "one statement"),
            (MySql, "SELECT s INTO OUTFILE '/tmp/x' FROM t WHERE p = :phone", "INTO writes"),
            (Sqlite, "SELECT status FROM t", "must say whom it asks for"),
            (Sqlite, "SELECT ':phone' FROM t", "must say whom it asks for"),
            (Postgres, "SELECT s FROM t WHERE p = :fone", "unknown placeholder `:fone`"),
            (Postgres, "SELECT s FROM t WHERE p = $1", "has `$1`"),
            (MySql, "SELECT s FROM t WHERE p = ?", "has `?`"),
            (Sqlite, "SELECT s FROM t WHERE p = 'x", "without its end"),
            (MySql, "SELECT s FROM t /* :phone", "without its end"),
            (Postgres, "SELECT $a$ :phone", "without its end"),
        ] {
            let why = Statement::parse(text, dialect).unwrap_err();
            assert!(why.contains(sentence), "{text}: {why}");
        }
    }
}
